"""When a search's trials would be stopped. All values are derived by hand."""

from __future__ import annotations

import pytest

from actrec.study.early import STOPPING, asha, median

# Best so far after epoch 1: 0.1, 0.3, 0.2, 0.4; after epoch 3 (the last has stopped before): 0.5, 0.3, 0.6.
HISTORIES = [(0.1, 0.4, 0.5), (0.3, 0.2, 0.1), (0.2, 0.6, 0.5), (0.4,)]


def test_nobody_is_stopped_without_a_rule() -> None:
    assert STOPPING["none"](HISTORIES, 9) == {}


def test_asha_lets_the_best_third_go_on() -> None:
    found = asha(HISTORIES, 9)
    # The rungs are 1 and 3; at 9 a trial is over anyway. The quantile at 2/3 of 4 values is the sorted ones'
    # at place 2, and of 3 values at place 4/3, a third of the way from 0.5 to 0.6.
    assert found == {1: pytest.approx(0.3), 3: pytest.approx(0.5 + 0.1 / 3)}
    assert set(asha(HISTORIES, 3)) == {1}
    assert set(asha(HISTORIES, 10)) == {1, 3}, "nobody came to the rung at 9"


def test_the_median_rule_compares_with_running_means() -> None:
    # Epoch 1: the median of 0.1, 0.3, 0.2, 0.4. Epoch 2: of 0.25, 0.25, 0.4. Epoch 3: of 1/3, 0.2, 1.3/3.
    assert median(HISTORIES, 4) == {
        1: pytest.approx(0.25),
        2: pytest.approx(0.25),
        3: pytest.approx(1 / 3),
    }


@pytest.mark.parametrize("rule", ["asha", "median"])
def test_two_trials_stop_nobody(rule: str) -> None:
    assert STOPPING[rule](HISTORIES[:2], 9) == {}
