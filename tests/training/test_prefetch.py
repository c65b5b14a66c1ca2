"""Items made ahead: the same, in the same order, and no thread left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from actrec.training.prefetch import prefetched


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("prefetch")]


@pytest.mark.parametrize("count", [0, 1, 2, 7])
@pytest.mark.parametrize("depth", [1, 2, 9])
def test_the_items_come_in_their_order(count: int, depth: int) -> None:
    assert list(prefetched(iter(range(count)), depth)) == list(range(count))
    assert threads() == []


def test_so_many_are_made_ahead_and_no_more() -> None:
    made: list[int] = []
    third = threading.Event()

    def items() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            if number == 2:
                third.set()
            yield number

    ahead = prefetched(items(), 2)
    assert next(ahead) == 0  # 1 and 2 are then asked for
    assert third.wait(60)
    ahead.close()  # type: ignore[attr-defined]  # it is a generator
    assert made == [0, 1, 2]
    assert threads() == []


def test_an_error_comes_in_the_place_of_its_item() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("two")

    ahead = prefetched(items(), 4)
    assert next(ahead) == 1
    with pytest.raises(KeyError, match="two"):
        next(ahead)
    assert threads() == []


def test_one_that_is_let_go_leaves_no_thread() -> None:
    ahead = prefetched(iter(range(10)), 2)
    next(ahead)
    del ahead
    assert threads() == []
