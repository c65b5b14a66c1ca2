from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from actrec.errors import LedgerError
from actrec.report.figures.maps import colour, embedding_map
from actrec.report.frames import Frame
from actrec.report.page import build_report
from actrec.report.plane import Map, methods, scaled
from actrec.report.tables import load
from actrec.results.schema import table
from actrec.seeding import numpy_rng
from tests.report import tiny


def write_vectors(folder: Path, trial_id: str, vectors: list[list[float]]) -> None:
    (folder / "embeddings").mkdir(exist_ok=True)
    rows = [{"trial_id": trial_id, "video_id": f"v{i}", "vector": v} for i, v in enumerate(vectors)]
    pq.write_table(table("embeddings", rows), folder / "embeddings" / f"{trial_id}.parquet")


def test_groups_far_apart_stay_apart_and_the_same_vectors_give_the_same_map() -> None:
    rng = numpy_rng(0, "groups")
    vectors = np.concatenate([rng.normal(centre, 0.1, (20, 16)) for centre in (-5, 5)])
    for place in methods().values():
        points = place(vectors)
        assert points.shape == (40, 2)
        # Every point is nearer to the middle of its own group than to that of the other.
        middles = np.stack([points[:20].mean(0), points[20:].mean(0)])
        nearest = np.linalg.norm(points[:, None] - middles, axis=2).argmin(axis=1)
        np.testing.assert_array_equal(nearest, np.repeat([0, 1], 20))
        np.testing.assert_array_equal(points, place(vectors.copy()))


def test_points_are_centred_and_scaled() -> None:
    # The middle of x is 2, of y 0; the furthest coordinate is 2 from it.
    assert scaled(np.array([[0.0, 1.0], [4.0, -1.0], [2.0, 0.0]])).tolist() == [[-1, 0.5], [1, -0.5], [0, 0]]
    assert scaled(np.zeros((2, 2))).tolist() == [[0, 0], [0, 0]]


def test_a_map_is_of_the_baseline_and_the_best_change(tmp_path: Path) -> None:
    folder = tiny.write_tiny(tmp_path)
    assert load(folder).maps == ()
    write_vectors(folder, "b0", [[0.0, 1.0], [1.0, 0.0], [3.0, 3.0], [4.0, 2.0]])
    write_vectors(folder, "a0", [[0.0, 1.0], [1.0, 0.0], [3.0, 3.0], [4.0, 2.0]])
    write_vectors(folder, "p0", [[0.0, 1.0], [1.0, 0.0], [3.0, 3.0], [4.0, 2.0]])
    maps = [found for found in load(folder).maps if found.method == "t-SNE"]
    assert [(found.arm, found.seed) for found in maps] == [("baseline", 0), ("a=x", 0)]
    assert maps[1].video_ids == ("v0", "v1", "v2", "v3")
    assert (maps[1].labels, maps[1].predicted) == ((0, 0, 1, 2), (0, 0, 1, 0))
    write_vectors(folder, "b0", [[0.0, 1.0]])
    assert {found.arm for found in load(folder).maps} == {"a=x"}  # one point is no map
    write_vectors(folder, "b0", [[0.0, 1.0], [1.0], [3.0, 3.0], [4.0, 2.0]])
    with pytest.raises(LedgerError, match="differ in length"):
        load(folder)


def test_a_cross_is_a_mistake_and_a_point_has_its_picture() -> None:
    found = Map("a", 0, "t-SNE", ("<v>", "w"), np.array([[1.0, 0.0], [0.0, 1.0]]), (0, 1), (1, 1))
    figure = embedding_map(found, ["<b>", "c"], {"<v>": Frame("frames/ab.jpg", "<b>", "test")})
    assert [trace.name for trace in figure.data] == ["&lt;b&gt;", "c"]
    assert [trace.marker.symbol for trace in figure.data] == [("x",), ("circle",)]
    told = ["frames/ab.jpg", "&lt;v&gt;", "&lt;b&gt;, taken for c"]
    assert list(figure.data[0].customdata[0]) == told
    assert list(figure.data[1].customdata[0]) == ["", "w", "c"]


@pytest.mark.parametrize("count", [2, 6, 10, 101])
def test_no_two_classes_share_a_colour(count: int) -> None:
    assert len({colour(order, count) for order in range(count)}) == count


def test_the_page_is_the_same_each_time(tmp_path: Path) -> None:
    folder = tiny.write_tiny(tmp_path)
    write_vectors(folder, "b0", [[0.0, 1.0], [1.0, 0.0], [3.0, 3.0], [4.0, 2.0]])
    first = build_report(folder).read_bytes()
    assert b'id="map-0"' in first
    assert build_report(folder).read_bytes() == first
