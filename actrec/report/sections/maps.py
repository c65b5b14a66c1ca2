"""Where models put the test videos: the baseline and the best change side by side."""

from __future__ import annotations

from actrec.report import words
from actrec.report.figures.maps import embedding_map
from actrec.report.markup import Html, el
from actrec.report.sections.parts import note, plot, section
from actrec.report.values import Report


def maps(report: Report) -> Html | None:
    """None where no trial left embeddings."""
    if not report.maps:
        return None
    figures = [
        plot(
            f"map-{number}",
            embedding_map(found, report.class_names, report.frames),
            f"Map by {found.method} of the test videos as {found.arm} sees them, coloured by class.",
            [el("strong", found.arm), f", seed {found.seed}, by {found.method}"],
        )
        for number, found in enumerate(report.maps)
    ]
    shown = words.count(max(len(found.video_ids) for found in report.maps), "test video")
    return section(
        "map",
        "Map of the test videos",
        note(
            f"What goes into the head of each model, on a plane: {shown} near each other where it is alike. "
            "A cross is a video that was taken for another class. Distances between far groups, the axes "
            "and how two maps are turned against each other mean nothing.",
        ),
        el("div", figures, class_="split even"),
    )
