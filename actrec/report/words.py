"""Numbers and answers in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from actrec.report.values import (
    ABLATE,
    CONFIRM,
    DEFAULT,
    ONE_SEED,
    PLACEBO,
    SEARCH,
    Effect,
    Report,
    Search,
)
from actrec.stats.verdicts import ALPHA, IDLE, NONE

MINUS, DASH = "−", "–"


@dataclass(frozen=True, slots=True)
class Unit:
    """How differences of a metric are written: ``scale`` × the difference, with ``digits`` decimals."""

    name: str
    scale: float
    digits: int

    def signed(self, difference: float | None) -> str:
        """A difference with its sign, such as ``+1.3``."""
        if difference is None:
            return DASH
        # Rounded first: a difference that rounds to zero has no sign.
        rounded = round(self.scale * difference, self.digits) + 0.0
        return f"{rounded:+.{self.digits}f}".replace("-", MINUS) if rounded else f"{0:.{self.digits}f}"

    def size(self, difference: float) -> str:
        """A difference without its sign."""
        return f"{self.scale * abs(difference):.{self.digits}f}"

    def interval(self, low: float | None, high: float | None) -> str:
        """Both ends of an interval in brackets."""
        return DASH if low is None or high is None else f"[{self.signed(low)}, {self.signed(high)}]"


def unit(metric: str) -> Unit:
    """Points for shares, nats for losses."""
    return Unit("nats", 1.0, 3) if metric == "loss" else Unit("points", 100.0, 1)


STAGES = {SEARCH: "search", CONFIRM: "confirmation", ABLATE: "ablation"}
METRICS = {"top1": "top-1", "top5": "top-5", "macro_f1": "macro-F1", "loss": "loss"}


def settles(effect: Effect) -> str:
    """What would settle an inconclusive verdict; nothing where that is not known."""
    if effect.more_seeds is not None:
        return f"+{count(effect.more_seeds, 'seed')}"
    return "+ videos" if effect.needs_videos else ""


def metric_name(metric: str) -> str:
    """A metric as people write it."""
    return METRICS.get(metric, metric)


def percent(share: float | None, digits: int = 1) -> str:
    """A share in [0, 1] as percent."""
    return DASH if share is None else f"{100 * share:.{digits}f}\u202f%"


def millions(n: float | None) -> str:
    """A number of parameters, in millions or thousands."""
    if n is None:
        return DASH
    return f"{n / 1e6:.1f} M" if n >= 1e6 else f"{n / 1e3:.0f} k" if n >= 1e3 else f"{n:.0f}"


def count(n: int, one: str, many: str | None = None) -> str:
    """A number with its noun: ``1 trial``, ``1,200 trials``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def duration(seconds: float | None) -> str:
    """Seconds, minutes or hours, whichever reads best."""
    if seconds is None:
        return DASH
    if seconds < 90:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def moment(text: str) -> str:
    """A time in ISO 8601 as people write it, in UTC; other text as it is."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{found.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if found.tzinfo else text


def level(looks: int) -> str:
    """The level of intervals, such as ``95 %``: 1 − 0.05 / looks."""
    return percent(1 - ALPHA / looks, 0 if looks == 1 else 1)


def p_value(p: float | None) -> str:
    """Three decimals, or that it is smaller than they show."""
    return DASH if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def setting(value: object) -> str:
    """A value of a setting; three digits of a number will do."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def short(level: str) -> str:
    """The text of a level; of a number that a search drew the first digits."""
    try:
        return f"{float(level):.3g}" if len(level) > 8 else level
    except ValueError:
        return level


def answer(report: Report) -> str:
    """What the study found, in one sentence."""
    if report.search is not None:
        return _searched(report, report.search)
    done, failed, waiting = (report.count(status) for status in ("ok", "failed", "waiting"))
    if not done:
        if not report.planned:
            return "No trial has been planned and none has run."
        others = [f"{failed} failed"] * bool(failed) + [f"{waiting} have not run"] * bool(waiting)
        return f"No trial has finished yet: of {count(report.planned, 'trial')}, {' and '.join(others)}."
    changes = [effect for effect in report.effects if effect.arm != PLACEBO]
    if all(effect.difference is None for effect in changes):
        return f"{done} of {count(report.planned, 'trial')} have finished; there is no verdict yet."
    unit_ = unit(report.metric)
    parts = [
        _group(changes, "hurts", "hurts", "hurt", unit_),
        _group(changes, "helps", "helps", "help", unit_),
        *_others(changes),
    ]
    found = f"Of {count(len(changes), 'change')}, {_join(parts)}"
    if all(effect.verdict == ONE_SEED for effect in changes):
        found = (
            f"Of {count(len(changes), 'change')}, none is judged: one seed cannot tell an effect from noise"
        )
    return found + _noise(report.effect(PLACEBO), unit_) + "."


def _searched(report: Report, search: Search) -> str:
    """How far a search is, or by how much its winner is better on the test split."""
    first, confirm, ablate = search.stages
    if first.state == "running":
        return f"The search is under way: {first.ended} of {count(first.planned or 0, 'trial')} have ended."
    if confirm.state == "skipped":
        why = "no trial but the default has a score" if search.confirm else "none was to be confirmed"
        return f"The search has ended after {count(first.ended, 'trial')} without a result: {why}."
    if confirm.state == "ahead":
        return f"The search has ended after {count(first.ended, 'trial')}; the confirmation follows."
    if confirm.state != "done":
        some = count(max(0, len(search.confirmed) - 1), "candidate")
        return (
            f"The search has ended; {some} and the default are being confirmed: {confirm.ended} of "
            f"{count(confirm.planned or 0, 'trial')} have ended."
        )
    if search.winner is None:
        over = ablate.state == "skipped"
        why = "no result: no trial of it ended well" if over else "ended; the ablation follows"
        return f"The confirmation has {why}."
    if search.winner == 0:
        some = count(len(search.confirmed) - 1, "candidate")
        return (
            f"Search: no candidate beat the default on validation, of {some} out of "
            f"{count(first.ended, 'trial')} that were trained again with fresh seeds."
        )
    name = trial_name(search, search.winner)
    effect = report.effect(DEFAULT)
    if effect is None or effect.difference is None:
        if ablate.state == "done":
            return f"Search: {name} won the confirmation; there is no verdict on it."
        if ablate.state == "ahead":
            return f"Search: {name} won the confirmation; the ablation follows."
        return (
            f"Search: {name} won the confirmation and is being ablated: {ablate.ended} of "
            f"{count(ablate.planned or 0, 'trial')} have ended."
        )
    unit_, low, high = unit(report.metric), effect.high, effect.low  # the other way round: without its sign
    gain = f"{unit_.signed(-effect.difference)} {unit_.name}"
    if low is not None and high is not None:
        gain += f" {unit_.interval(-low, -high)}"
    seeds = count(effect.n_seeds, "fresh seed")
    told = WINNERS.get(effect.verdict, f"has no clear verdict ({effect.verdict})")
    more = f"; {count(effect.more_seeds, 'more seed')} would settle it" if effect.more_seeds else ""
    return f"Search: {name} {told}: {gain} over the default on {seeds}{more}."


def trial_name(search: Search, number: int, most: int = 3) -> str:
    """A trial of the search, and the first of what it changes."""
    changes = [f"{search.label(path)} {setting(value)}" for path, value in search.changes(number).items()]
    told = ", ".join([*changes[:most], *(["…"] if len(changes) > most else [])])
    return f"trial #{number} ({told})" if told else f"trial #{number}"


# What the verdict on taking back all that the winner changes says of the winner.
WINNERS = {
    "hurts": "is confirmed",
    "helps": "is worse than the default after all",
    NONE: "is no better in practice",
    "inconclusive": "is not confirmed",
    IDLE: "does exactly what the default does",
    ONE_SEED: "is not judged",
}


def _noise(placebo: Effect | None, unit_: Unit) -> str:
    """The half width of the placebo's interval, and what the placebo did."""
    if placebo is None or placebo.difference is None:
        return ""
    moved = unit_.signed(placebo.difference)
    if placebo.low is None or placebo.high is None:
        return f"; the placebo moved {moved} {unit_.name}"
    half = unit_.size((placebo.high - placebo.low) / 2)
    return f"; noise is ± {half} {unit_.name} (placebo: {moved}{f', {placebo.verdict}!' * placebo.decided})"


def _group(changes: Sequence[Effect], verdict: str, one: str, many: str, unit_: Unit) -> str:
    """How many have a verdict, the largest three by name and size."""
    found = [effect for effect in changes if effect.verdict == verdict]
    if not found:
        return f"0 {many}"
    named = [f"{e.arm}, {unit_.signed(e.difference)} {unit_.name}" for e in found[:3]]
    rest = [f"{len(found) - 3} more"] * (len(found) > 3)
    return f"{len(found)} {one if len(found) == 1 else many} ({'; '.join(named + rest)})"


def _others(changes: Sequence[Effect]) -> list[str]:
    """The counts of all other verdicts."""
    names = dict.fromkeys(effect.verdict for effect in changes if not effect.decided)
    counts = {name: sum(effect.verdict == name for effect in changes) for name in names}
    return [
        f"{n} did nothing" if name == IDLE else f"{n} {'is' if n == 1 else 'are'} {OTHERS.get(name, name)}"
        for name, n in counts.items()
    ]


OTHERS = {
    "no practical effect": "without practical effect",
    "no result": "without a result",
    "not yet": "not judged yet",
}


def _join(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
