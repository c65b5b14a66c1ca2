"""A model as a chain of stages: what freezing names and prefix sharing cuts.

::

    class Net(Staged):
        def stages(self) -> tuple[Stage, ...]:
            return (
                Stage("stem", self.stem, (self.stem,)),
                Stage("head", lambda features: self.fc(self.dropout(features)), (self.dropout, self.fc)),
            )

The names are those of the model's card, in its order. What passes from one stage to the next is one tensor
whose first dimension is the clip, so that it can be stored clip by clip and taken up again later.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage as it runs.

    Attributes:
        name: its key in ``ModelCard.stages``.
        run: (B, …) → (B, …); each clip by itself in eval mode.
        modules: all that it uses, those without parameters (dropout) included.
    """

    name: str
    run: Callable[[Tensor], Tensor]
    modules: tuple[nn.Module, ...]


class Staged(nn.Module):
    """A model that can be run in parts: ``model(model.prefix(clips, k), first=k) == model(clips)``."""

    @abstractmethod
    def stages(self) -> tuple[Stage, ...]:
        """All of it, from clips float32 (B, 3, T, H, W) to logits (B, K)."""

    def prefix(self, clips: Tensor, count: int) -> Tensor:
        """What the first ``count`` stages make of clips: (B, …)."""
        for stage in self.stages()[:count]:
            clips = stage.run(clips)
        return clips

    def forward(self, inputs: Tensor, first: int = 0) -> Tensor:
        """Logits (B, K) of clips; with ``first`` > 0, of what :meth:`prefix` made of them."""
        for stage in self.stages()[first:]:
            inputs = stage.run(inputs)
        return inputs


def per_frame(layer: nn.Module, frames: Tensor) -> Tensor:
    """A layer of images on every frame: (B, T, C, H, W) → (B, T, …)."""
    made: Tensor = layer(frames.flatten(0, 1))
    return made.view(*frames.shape[:2], *made.shape[1:])
