"""The next items of an iterator, made ahead in a thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetched(items: Iterator[T], depth: int) -> Iterator[T]:
    """The same items in the same order, ``depth`` ≥ 1 of them in the making before they are asked for.

    One thread makes them all. What it raises is raised here, in the place of the item. It ends with the last
    item, or when this iterator is closed or let go.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
    try:
        end = object()
        ahead = deque(pool.submit(next, items, end) for _ in range(depth))
        while (item := ahead.popleft().result()) is not end:
            ahead.append(pool.submit(next, items, end))
            yield item  # type: ignore[misc]  # mypy does not see that only the end is no T
    finally:
        pool.shutdown(cancel_futures=True)
