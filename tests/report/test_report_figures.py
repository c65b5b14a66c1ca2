from __future__ import annotations

import json
from pathlib import Path

import plotly.io as pio
import pytest

from actrec.report.figures import style
from actrec.report.figures.confusion import confusion_matrix
from actrec.report.figures.curves import learning_curves, span
from actrec.report.figures.effects import effects
from actrec.report.figures.recall import recall_by_class, recall_change
from actrec.report.figures.seeds import seeds
from actrec.report.tables import load
from actrec.report.values import Report
from tests.report import tiny


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return load(tiny.write_tiny(tmp_path_factory.mktemp("tiny")))


def test_effects_have_a_dot_an_interval_and_the_placebos_band(report: Report) -> None:
    figure = effects([effect for effect in report.effects if effect.difference is not None], "points", 100)
    assert [trace.name for trace in figure.data] == ["a=x", "placebo"]
    hurts = figure.data[0]
    assert (hurts.x[0], hurts.y[0]) == (-25.0, 0)
    # [−40, −10] around −25.
    assert (hurts.error_x.array[0], hurts.error_x.arrayminus[0]) == pytest.approx((15.0, 15.0))
    assert (hurts.marker.symbol, hurts.marker.color) == ("triangle-down", style.VERMILLION)
    band = next(shape for shape in figure.layout.shapes if shape.type == "rect")
    assert (band.x0, band.x1) == pytest.approx((-10.0, 10.0))


def test_an_effect_without_a_difference_draws_nothing_but_its_row(report: Report) -> None:
    figure = effects(report.effects, "points", 100)
    assert len(figure.data) == 2
    assert len(figure.layout.yaxis.ticktext) == 3


def test_a_panel_has_its_arm_its_band_and_the_baseline(report: Report) -> None:
    figure = learning_curves(report.curves, "a=x", "top1", span(report.curves, "top1"))
    assert figure is not None
    assert [trace.name for trace in figure.data] == ["baseline, val", "seeds", "val"]
    assert figure.data[0].y == pytest.approx((0.4, 0.7))
    assert figure.data[2].y == (0.2, 0.9)
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
    (heat,) = recall_change(list(report.outcomes.values()), report.arms, report.class_names).data
    # Baseline 0.75, 1, 0.5; placebo 1, 1, 1; a=x 1, 1, 0.
    assert heat.z == ([25.0, 0.0, 50.0], [25.0, 0.0, -50.0])
    assert heat.text[1] == ["+25", "0", "−50"]


def test_one_dot_a_finished_trial(report: Report) -> None:
    figure = seeds(report.arms)
    dots = {trace.name: list(trace.x) for trace in figure.data if trace.name}
    assert dots == {"baseline": [100.0, 50.0], "placebo": [100.0], "a=x": [75.0]}
    assert len(figure.layout.yaxis.ticktext) == 4


def test_labels_are_shown_letter_by_letter() -> None:
    assert style.arm_label("a", "<b>&", "a=<b>&").startswith("&lt;b&gt;&amp;<br>")
    assert style.arm_label("placebo", "1", "placebo") == "placebo"


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
