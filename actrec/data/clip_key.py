"""What makes two trials read the same decoded clips."""

from __future__ import annotations

from typing import Any

from actrec.spec import ClipSpec

# The fields that each sampling reads, beside those that all of them read.
RELEVANT: dict[str, tuple[str, ...]] = {
    "middle": (),
    "uniform": ("num_frames",),
    "random": ("num_frames", "stride", "draws"),
    "clips": ("num_frames", "stride", "clips"),
    "centre": ("num_frames", "seconds"),
}
ALWAYS = ("sampling", "height", "width", "fit", "decoder")


def clip_identity(clip: ClipSpec) -> dict[str, Any]:
    """The fields of ``clip`` that change a decoded frame, ready for JSON.

    Two specifications with the same identity share their clips: a ``stride`` under ``uniform`` sampling,
    say, decodes nothing new.
    """
    return {name: getattr(clip, name) for name in (*ALWAYS, *RELEVANT[clip.sampling])}


def clips_per_epoch(clip: ClipSpec) -> int:
    """Clips of one video that an epoch trains on."""
    return clip.clips if clip.sampling == "clips" else 1
