"""Calls that may end their process."""

from __future__ import annotations

import operator
import os

from actrec.data.survival import survives


def test_a_crash_is_told_from_an_exception_and_from_success() -> None:
    assert not survives(os.abort)
    assert survives(operator.truediv, 1, 0)
    assert survives(operator.truediv, 1, 1)
