from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal

import plotly.io as pio
import pytest

from actrec.report.costs import ArmCost, pareto_front
from actrec.report.figures import style
from actrec.report.figures.confusion import confusion_difference, confusion_matrix
from actrec.report.figures.contrasts import interactions, main_effects
from actrec.report.figures.cost import accuracy_against_cost
from actrec.report.figures.curves import learning_curves, span
from actrec.report.figures.effects import effects
from actrec.report.figures.fit import fit
from actrec.report.figures.parallel import parallel_coordinates
from actrec.report.figures.ranking import precision_recall
from actrec.report.figures.recall import recall_by_class, recall_change
from actrec.report.figures.seeds import seeds
from actrec.report.figures.window import window
from actrec.report.tables import load
from actrec.report.values import Contrast, Fit, PrecisionRecall, Report
from actrec.report.words import unit
from tests.report import tiny


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return load(tiny.write_tiny(tmp_path_factory.mktemp("tiny")))


def test_effects_have_a_dot_an_interval_and_the_placebos_band(report: Report) -> None:
    figure = effects([effect for effect in report.effects if effect.difference is not None], unit("top1"))
    assert [trace.name for trace in figure.data] == ["a=x", "placebo"]
    hurts = figure.data[0]
    assert (hurts.x[0], hurts.y[0]) == (-25.0, 0)
    # [−40, −10] around −25.
    assert (hurts.error_x.array[0], hurts.error_x.arrayminus[0]) == pytest.approx((15.0, 15.0))
    assert (hurts.marker.symbol, hurts.marker.color) == ("triangle-down", style.VERMILLION)
    band = next(shape for shape in figure.layout.shapes if shape.type == "rect")
    assert (band.x0, band.x1) == pytest.approx((-10.0, 10.0))


def test_an_effect_without_a_difference_draws_nothing_but_its_row(report: Report) -> None:
    figure = effects(report.effects, unit("top1"))
    assert len(figure.data) == 2
    assert len(figure.layout.yaxis.ticktext) == 3


def test_an_effect_without_an_interval_is_a_dot_alone(report: Report) -> None:
    idle = dataclasses.replace(report.effects[0], difference=0.0, low=None, high=None)
    (dot,) = effects([idle], unit("top1")).data
    assert (dot.x[0], dot.error_x.visible) == (0.0, False)


def test_simultaneous_intervals_are_thin_lines_and_the_margin_is_dashed(report: Report) -> None:
    found = [
        dataclasses.replace(
            report.effects[0], arm=f"a{i}", difference=x, low=x - 0.02, high=x + 0.02, margin=0.01,
            low_simultaneous=x - 0.03, high_simultaneous=x + 0.03,
        )
        for i, x in enumerate((0.05, -0.01))
    ]  # fmt: skip
    figure = effects(found, unit("top1"))
    thin, *dots = figure.data
    assert thin.x == pytest.approx((2.0, 8.0, None, -4.0, 2.0, None))
    assert thin.y == (0, 0, None, 1, 1, None)
    assert all(dot.error_x.thickness > thin.line.width for dot in dots)
    low, high = figure.layout.xaxis.range
    assert low < -4 < 8 < high
    lines = {shape.x0 for shape in figure.layout.shapes if shape.line.dash == "dash"}
    assert lines == {-1.0, 1.0}


def test_an_outlier_is_an_arrow_at_the_edge_with_its_value(report: Report) -> None:
    found = [
        dataclasses.replace(report.effects[0], arm=f"a{i}", difference=x, low=x - 0.02, high=x + 0.02)
        for i, x in enumerate((-0.8, -0.1, 0.05, 0.03))
    ]
    figure = effects(found, unit("top1"))
    low, high = figure.layout.xaxis.range
    # Without the first: from −12 to +7, and 6 % of these 19 on both sides.
    assert (low, high) == pytest.approx((-12 - 1.14, 7 + 1.14))
    arrow = figure.data[0]
    assert (arrow.marker.symbol, arrow.text[0]) == ("triangle-left", "−80.0")
    assert low < arrow.x[0] < -12
    assert arrow.customdata[0][1] == "−80.0 [−82.0, −78.0]"
    assert all(trace.marker.symbol == "triangle-down" for trace in figure.data[1:])
    assert figure.layout.xaxis.ticktext == ("−10", "−5", "0", "+5")


@pytest.mark.parametrize(
    ("spans", "ends"),
    [
        ([(-9, -8), (1, 2), (1, 2)], (-9, 2)),  # of three none is an outlier
        ([(-9, -8), (1, 5), (1, 2), (1, 2)], (-9, 5)),  # 9 is less than twice 5
        ([(-9, -8), (1, 4), (1, 2), (1, 2)], (0, 4)),
        ([(30, 40)] * 2 + [(-8, -7)] + [(0, 2)] * 5, (-8, 2)),
        ([(0, 0)] * 4, (0, 0)),
        ([], (0, 0)),
    ],
)
def test_the_window_leaves_out_what_is_far(spans: list[tuple[float, float]], ends: tuple[int, int]) -> None:
    shown = window(spans, 0.0)
    pad = 0.06 * (ends[1] - ends[0]) or 1.0
    assert (shown.low, shown.high) == pytest.approx((ends[0] - pad, ends[1] + pad))


def test_a_panel_has_its_arm_its_band_and_the_baseline(report: Report) -> None:
    figure = learning_curves(report.curves, "a=x", "top1", span(report.curves, "top1"))
    assert figure is not None
    assert [trace.name for trace in figure.data] == ["seeds", "val", "baseline, val"]  # the last is on top
    assert figure.data[2].y == pytest.approx((0.4, 0.7))
    assert figure.data[1].y == (0.2, 0.9)
    own = learning_curves(report.curves, "baseline", "top1", (0, 1))
    assert own is not None
    # Up along the greatest seed, back along the least.
    assert own.data[0].y == (0.5, 0.8, 0.6, 0.3)
    assert learning_curves(report.curves, "a=y", "top1", (0, 1)) is None


def test_confusion_is_percent_of_the_true_class(report: Report) -> None:
    (heat,) = confusion_matrix(report.outcomes["baseline"], report.class_names).data
    # Counts [[3, 1, 0], [0, 2, 0], [0, 1, 1]].
    assert heat.z == ([75.0, 25.0, 0.0], [0.0, 100.0, 0.0], [0.0, 50.0, 50.0])
    assert list(heat.customdata[0][1]) == ["zero", "one", 1, 4]


def test_the_difference_of_two_matrices_says_better_and_worse_by_colour(report: Report) -> None:
    (heat,) = confusion_difference(
        report.outcomes["baseline"], report.outcomes["a=x"], report.class_names
    ).data
    # a=x predicts 0 0 1 0 for 0 0 1 2. Percent of the rows: [100 0 0], [0 100 0], [100 0 0].
    assert heat.text == (["+25", "−25", ""], ["", "", ""], ["+100", "−50", "−50"])
    # More on the diagonal is better, more beside it is worse.
    assert heat.z == ([25.0, 25.0, 0.0], [0.0, 0.0, 0.0], [-100.0, 50.0, -50.0])


def test_a_precision_recall_curve_is_steps_from_recall_zero() -> None:
    curve = PrecisionRecall("zero", (0.5, 1.0), (1.0, 0.6), 0.8)
    best, baseline = precision_recall(curve, dataclasses.replace(curve, average=0.9)).data
    assert (best.name, baseline.name) == ("best", "baseline")
    assert baseline.x == (0.0, 0.5, 1.0)
    assert baseline.y == (1.0, 1.0, 0.6)
    assert baseline.line.shape == "vh"  # so the area below is (1.0 + 0.6) / 2, the average precision


def test_the_fit_joins_validation_and_test(report: Report) -> None:
    fits = [Fit("baseline", "top1", 0.95, 0.8, 0.75), Fit("a=x", "top1", None, 0.8, 0.5)]
    figure = fit(fits, report.arms, "top-1", unit("top1"))
    lines, train, val, test = figure.data
    assert lines.x == (80.0, 75.0, None, 80.0, 50.0, None)
    assert (train.x, val.x, test.x) == ((95.0, None), (80.0, 80.0), (75.0, 50.0))
    assert list(figure.layout.yaxis.ticktext) == ["baseline", "a = x"]
    assert figure.layout.xaxis.title.text == "top-1, %"


def test_accuracy_against_cost_names_the_front(report: Report) -> None:
    arms = {arm.name: arm for arm in report.arms}
    costs = [
        ArmCost(arms["baseline"], "CPU", 2.0, 2.0, None, None, 0.8),
        ArmCost(arms["a=x"], "CPU", 1.0, 1.0, None, None, 0.7),
        ArmCost(arms["placebo"], "CPU", 3.0, 3.0, None, None, 0.8),
    ]
    front = pareto_front(costs)
    assert [cost.arm.name for cost in front] == ["a=x", "baseline"]  # as good for less
    line, points = accuracy_against_cost(costs, front, "CPU").data
    assert (line.x, line.y) == ((1.0, 2.0), (70.0, 80.0))
    assert points.text == ("baseline", "a=x", "")


def test_labels_of_arms_that_cost_and_score_the_same_do_not_overlap(report: Report) -> None:
    arms = {arm.name: arm for arm in report.arms}
    costs = [
        ArmCost(arms["baseline"], "CPU", 2.0, 2.0, None, None, 0.8),
        ArmCost(arms["a=x"], "CPU", 1.999, 1.999, None, None, 0.8),
        ArmCost(arms["placebo"], "CPU", 0.1, 0.1, None, None, 0.1),
    ]
    _, points = accuracy_against_cost(costs, pareto_front(costs), "CPU").data
    assert points.text == ("baseline", "a=x", "placebo")
    assert points.textposition == ("top left", "bottom left", "top right")


def test_parallel_coordinates_cross_an_axis_for_each_setting_and_result() -> None:
    settings: dict[str, list[Any]] = {"optim.lr": [1, 2, 3, 5], "augment": ["none", "crop", "none", "flip"]}
    results = {"top-1": [70.0, 75.0, None, 80.0]}
    figure = parallel_coordinates(settings, results, ["a", "b", "c", "<d>"])
    assert figure.layout.xaxis.ticktext == ("optim.lr", "augment", "top-1")
    middle, worst, best = figure.data
    # Rates 1 to 5 to scale; words at 0, 1/2 and 1, fanned out by their ranks (c 0, a 1/3, b 2/3, d 1).
    assert best.y == pytest.approx((1.0, 1 + 0.07 / 2, 1.0, None))
    assert middle.y[:3] == pytest.approx((0.0, 0.07 * (1 / 3 - 1 / 2), 0.0))
    assert (len(middle.y), worst.y) == (8, ())  # c has no result, and is the worst of none
    assert best.customdata[0] == "&lt;d&gt;"
    labels = [note.text for note in figure.layout.annotations if note.x == 1]
    assert labels == ["none", "crop", "flip"]


def contrast(kind: Literal["main", "interaction"], difference: float | None, **changes: Any) -> Contrast:
    """A contrast of factor ``a``, with factor ``b`` where it is an interaction."""
    other = ("b", "y", "o") if kind == "interaction" else ("", "", "")
    known = Contrast(kind, "a", "x", "o", *other, difference, None, None, None, "")
    return dataclasses.replace(known, **changes)


def test_main_effects_have_their_intervals_and_marks() -> None:
    found = [
        contrast("main", 0.05, low=0.02, high=0.08, p_adjusted=0.01),
        contrast("main", None, confounded_with="b × c"),
        contrast("interaction", 0.01),
    ]
    figure = main_effects(found, unit("top1"), higher=True)
    (dot,) = figure.data
    assert (dot.x[0], dot.marker.symbol) == (5.0, "triangle-up")
    assert (dot.error_x.array[0], dot.error_x.arrayminus[0]) == pytest.approx((3.0, 3.0))
    assert len(figure.layout.yaxis.ticktext) == 2


def test_interactions_are_a_matrix_of_levels() -> None:
    found = [
        contrast("interaction", 0.04, p_adjusted=0.01),
        contrast("interaction", -0.02, p_adjusted=0.5, other_level="z"),
        contrast("interaction", None, level="w", confounded_with="c"),
    ]
    (heat,) = interactions(found, unit("top1"), higher=True).data
    assert heat.text == (["+4.0 *", "−2.0"], ["confounded", ""])
    assert heat.z[0] == pytest.approx([4.0, -2.0])
    (lower,) = interactions(found, unit("loss"), higher=False).data
    assert lower.z[0] == pytest.approx([-0.04, 0.02])  # of a loss, less is better
    (empty,) = interactions(found[2:], unit("top1"), higher=True).data
    assert empty.zmax == 5.0


def test_recall_of_baseline_and_best_with_the_rarest_class_on_top(report: Report) -> None:
    figure = recall_by_class(report.outcomes["baseline"], report.outcomes["a=x"], report.class_names)
    baseline, best = figure.data[1:]
    assert [baseline.name, best.name] == ["baseline", "a=x"]
    assert baseline.customdata == ("one", "two", "zero")
    assert baseline.x == (100.0, 50.0, 75.0)
    assert best.x == (100.0, 0.0, 100.0)
    alone = recall_by_class(report.outcomes["baseline"], None, report.class_names)
    assert [trace.name for trace in alone.data] == ["baseline"]


def test_recall_change_is_in_points_from_the_baseline(report: Report) -> None:
    (heat,) = recall_change(list(report.outcomes.values()), report.arms, report.class_names, {}).data
    # Baseline 0.75, 1, 0.5; placebo 1, 1, 1; a=x 1, 1, 0.
    assert heat.z == ([25.0, 0.0, 50.0], [25.0, 0.0, -50.0])
    assert heat.text[1] == ["+25", "0", "−50"]
    assert heat.customdata[1][2] == ["a=x", "two", ""]


def test_recall_change_has_a_star_where_it_is_decided_and_tells_intervals(tmp_path: Path) -> None:
    tiny.write_tiny(tmp_path)
    row = tiny.effect_row(metric="recall:2", difference=-0.5, low=-0.6, high=-0.4, p_adjusted=0.012)
    open_ = tiny.effect_row(metric="recall:0", low=-0.1, high=0.6, p_adjusted=0.5, verdict="inconclusive")
    tiny.write_effects(tmp_path, tiny.effect_row(), row, open_)
    report = load(tmp_path)
    assert {effect.metric for effect in (*report.effects, *report.further)} == {"top1"}
    outcomes = list(report.outcomes.values())
    (heat,) = recall_change(outcomes, report.arms, report.class_names, report.recalls).data
    assert heat.text == (["+25", "0", "+50"], ["+25", "0", "−50 *"])
    told = [line.removeprefix("<br>") for *_, line in heat.customdata[1]]
    assert told == ["interval [−10.0, +60.0], p adj. 0.500", "", "interval [−60.0, −40.0], p adj. 0.012"]


def test_one_dot_a_finished_trial(report: Report) -> None:
    figure = seeds(report.arms)
    dots = {trace.name: list(trace.x) for trace in figure.data if trace.name}
    assert dots == {"baseline": [100.0, 50.0], "placebo": [100.0], "a=x": [75.0]}
    assert len(figure.layout.yaxis.ticktext) == 4


def test_labels_are_shown_letter_by_letter() -> None:
    assert style.arm_label("a", "<b>&", "a=<b>&") == "a = &lt;b&gt;&amp;"
    assert style.arm_label("placebo", "1", "placebo") == "placebo"


def test_an_arms_label_names_its_factor() -> None:
    small = '<span style="font-size:10px">'
    assert style.arm_label("augment", "hflip", "augment=hflip") == "augment = hflip"
    assert style.arm_label("model.dropout", "0.5", "a") == f"dropout = 0.5<br>{small}model.dropout</span>"
    assert style.arm_label("model.dropout × augment", "0.5 × crop", "a").startswith(
        "dropout = 0.5 × augment = crop<br>"
    )


def test_figures_carry_no_style_of_plotlys_and_no_background(report: Report) -> None:
    figure = json.loads(pio.to_json(seeds(report.arms)))
    assert "layout" not in figure["layout"]["template"]  # plotly's own style sheet, 7 kB a figure
    assert figure["layout"]["paper_bgcolor"] == "rgba(0,0,0,0)"


def test_palette_has_three_to_one_contrast_on_both_backgrounds() -> None:
    """WCAG 2.2, success criterion 1.4.11, for the marks that carry a verdict."""

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for colour in (style.GREEN, style.VERMILLION, style.GREY, style.BLUE):
        for background in ("#ffffff", "#191d22"):
            low, high = sorted((luminance(colour), luminance(background)))
            assert (high + 0.05) / (low + 0.05) >= 3.0, (colour, background)


def test_the_style_sheet_is_the_one_that_the_contrast_was_measured_on() -> None:
    sheet = Path(style.__file__).parents[1] / "assets" / "page.css"
    text = sheet.read_text(encoding="utf-8")
    assert "--panel: #fff;" in text
    assert "--panel: #191d22;" in text
