"""What the arms cost, and accuracy against cost."""

from __future__ import annotations

from actrec.report import words
from actrec.report.costs import ArmCost, arm_cost, pareto_front
from actrec.report.figures.cost import accuracy_against_cost
from actrec.report.markup import Child, Html, el
from actrec.report.sections.parts import Cell, Column, plot, section, shown_only, table
from actrec.report.values import Report, Search


def cost(report: Report) -> Html | None:
    """Time, clips and energy of every arm; None where no trial has a time."""
    costs = [found for arm in report.arms if (found := arm_cost(arm)) is not None]
    by_stage = _stages(report.search) if report.search else None
    if not costs:
        return section("cost", "Cost", by_stage) if by_stage else None
    device = costs[0].device or "worker"
    clips = [found.clips for found in costs if found.clips is not None]
    joules = [found.joules for found in costs if found.joules is not None]
    columns = [
        Column("Arm"),
        Column("Time a trial", number=True),
        Column(f"{device} time in all", number=True),
        *([Column("Clips trained", number=True)] if clips else []),
        *([Column("Energy", number=True)] if joules else []),
        Column("Top-1, test", number=True),
    ]

    def row(found: ArmCost) -> list[Child | Cell]:
        return [
            found.arm.name,
            Cell(words.duration(found.each), found.each),
            Cell(words.duration(found.seconds), found.seconds),
            *([_clips(found.clips)] if clips else []),
            *([_energy(found.joules)] if joules else []),
            Cell(words.percent(found.accuracy), found.accuracy),
        ]

    seconds = sum(found.seconds for found in costs)
    total: list[Child | Cell] = [
        "all arms",
        "",
        Cell(words.duration(seconds), seconds),
        *([_clips(sum(clips))] if clips else []),
        *([_energy(sum(joules) if len(joules) == len(costs) else None)] if joules else []),
        "",
    ]
    caption = f"{device} seconds of the finished trials, waiting not counted"
    if joules:
        caption += f"; {_whose_energy(device)}"
    names = {arm.name for arm in report.focus}
    drawn = [found for found in costs if found.arm.name in names and found.accuracy is not None]
    return section(
        "cost",
        "Cost",
        el(
            "div",
            table(
                caption,
                columns,
                [row(found) for found in costs],
                [total],
            ),
            plot(
                "cost-plot",
                accuracy_against_cost(drawn, pareto_front(drawn), device),
                "Mean test top-1 of every arm against its cost in time.",
                [
                    "Mean test top-1 against the time of a trial. No arm is better and cheaper than those on "
                    "the line. ",
                    shown_only(report),
                ],
            )
            if drawn
            else None,
            class_="split",
        ),
        by_stage,
    )


def _stages(search: Search) -> Html | None:
    """What each stage of a search cost, whatever came of its trials."""
    begun = [stage for stage in search.stages if stage.ended]
    rows: list[list[Child | Cell]] = [
        [
            words.STAGES[stage.name],
            Cell(f"{stage.ended:,}", stage.ended),
            Cell(words.duration(stage.seconds), stage.seconds),
            Cell(words.duration(stage.seconds / stage.ended), stage.seconds / stage.ended),
        ]
        for stage in begun
    ]
    columns = [Column("Stage"), *(Column(t, number=True) for t in ("Trials", "Time in all", "Time a trial"))]
    total = sum(stage.seconds for stage in begun)
    foot: list[list[Child | Cell]] = [["all stages", "", Cell(words.duration(total), total), ""]]
    caption = "Seconds of work of all trials, those that were pruned or failed too"
    return table(caption, columns, rows, foot) if total else None


def _clips(n: int | None) -> Cell:
    return Cell(words.DASH if n is None else f"{n:,}", n)


def _whose_energy(device: str) -> str:
    takers = {"GPU": "whole GPUs with their memory", "CPU": "whole CPU packages, main memory not included,"}
    taker = takers.get(device, "whole devices")
    return f"energy is what the {taker} took meanwhile by their own counters, idling included"


def _energy(joules: float | None) -> Cell:
    return Cell(words.DASH if joules is None else f"{joules / 3600:.1f} Wh", joules)
