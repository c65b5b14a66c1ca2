"""What limits the answer, before anything else is read."""

from __future__ import annotations

from collections.abc import Sequence

from actrec.report import words
from actrec.report.markup import Html, el
from actrec.report.optimism import large_gap, selected
from actrec.report.record import at
from actrec.report.sections.parts import banner
from actrec.report.values import PLACEBO, Report
from actrec.stats.verdicts import ALPHA

ROUNDING = 1e-9
FEW_SEEDS, FEW_VIDEOS = 3, 50  # below these the page warns; with 50 test videos one is 2 points


def banners(report: Report) -> list[Html]:
    """Unfinished, failed, small, leaking, optimistic, unfair, damaged: whatever of it is so."""
    return [*_progress(report), *_size(report), *_trust(report), *_leakage(report), *_damage(report)]


def _progress(report: Report) -> list[Html]:
    found = []
    waiting, failed = report.count("waiting"), report.count("failed")
    stages = report.search.stages if report.search else ()
    going = next((stage for stage in stages if stage.state == "running"), None)
    if going is not None:
        left, whole = going.counts["waiting"], words.count(going.planned or 0, "trial")
        rest = f"{left} of {whole} of the {words.STAGES[going.name]} have not run."
        found.append(banner(el("strong", "In progress. "), rest, " Everything below is provisional."))
    elif waiting:
        rest = f"{waiting} of {words.count(report.planned, 'trial')} have not run."
        found.append(banner(el("strong", "In progress. "), rest, " Everything below is provisional."))
    if failed:
        link = el("a", "see failures", href="#failures")
        text = f"{words.count(failed, 'trial')} failed; all numbers are without: "
        found.append(banner(text, link, ".", kind="warn"))
    return found


def _size(report: Report) -> list[Html]:
    few = [words.count(len(report.seeds), "seed")] * (0 < len(report.seeds) < FEW_SEEDS)
    few += [words.count(report.n_test or 0, "test video")] * (0 < (report.n_test or 0) < FEW_VIDEOS)
    if not few:
        return []
    told = (
        "Only large effects can be told from noise."
        if len(report.seeds) > 1
        else "With one seed no effect can be told from noise: run more."
    )
    return [banner(f"Small study: {' and '.join(few)}. {told}")]


def _trust(report: Report) -> list[Html]:
    """What makes the verdicts themselves doubtful."""
    found = []
    placebo = report.effect(PLACEBO)
    if placebo is not None and placebo.decided:
        text = f"The placebo changes nothing, yet “{placebo.verdict}”: distrust the other verdicts too."
        found.append(banner(text, kind="warn"))
    chance = at(report.study, "chance_of_any", float, ALPHA)
    if chance > ALPHA + ROUNDING:
        seeds = ", ".join(str(entry["seeds"]) for entry in at(report.study, "judged_at", list, []))
        text = (
            f"Extended after results were seen: arms were judged at {seeds} seeds. Every p and interval "
            "counts these looks, but the earlier ones had been promised 5\u202f% already: the chance of any "
            f"false verdict on the way is up to {words.percent(chance)}."
        )
        found.append(banner(text, kind="warn"))
    unfair = [effect.arm for effect in report.effects if effect.fair_budget is False]
    if unfair:
        text = f"Unequal budgets: {_named(unfair)} trained for other epochs or clips than the baseline."
        found.append(banner(text, kind="warn"))
    short = [arm.name for arm in report.arms if any(trial.batch for trial in arm.trials)]
    if short:
        text = (
            f"Memory was short: {_named(short)} trained with smaller batches than asked for, which is not "
            "the same training. "
        )
        found.append(banner(text, el("a", "See trials", href="#trials"), ".", kind="warn"))
    gap, best = large_gap(report), selected(report)
    if gap is not None and best is not None:
        text = (
            f"Optimism: {best.name}, selected on validation, scores "
            f"{words.unit('top1').size(gap)} points higher there than on test. Quote the test number. "
        )
        found.append(banner(text, el("a", "See fit", href="#fit"), ".", kind="warn"))
    return found


def _named(arms: Sequence[str]) -> str:
    """The first three by name, and how many more."""
    return ", ".join(arms[:3]) + (f" and {len(arms) - 3} more" if len(arms) > 3 else "")


def _leakage(report: Report) -> list[Html]:
    found = []
    if report.data.straddling_groups:
        groups = words.count(report.data.straddling_groups, "group of videos lies", "groups of videos lie")
        found.append(banner(f"{groups} on both sides of a split: accuracy may be optimistic.", kind="warn"))
    if report.data.near_duplicates:
        many = words.count(
            report.data.near_duplicates, "pair of near-duplicates lies", "pairs of near-duplicates lie"
        )
        found.append(banner(f"{many} on both sides of a split: accuracy may be optimistic.", kind="warn"))
    return found


def _damage(report: Report) -> list[Html]:
    return [banner(problem, kind="warn") for problem in report.problems]
