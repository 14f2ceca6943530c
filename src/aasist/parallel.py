"""Work side by side: results in order, few waiting, the same whatever the number of threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int, ahead: int | None = None
) -> Iterator[Result]:
    """``work`` of each item, in their order, as soon as it is done and those before it are.

    Items are taken as they are needed: at most ``ahead`` (two a thread, without it) wait or are being worked on. With one
    thread, or one item, everything is done by the caller. What ``work`` raises is raised where its result would have
    come, and nothing further is begun. The threads live as long as the iteration: a pool that outlived it would be dead
    in a forked process, which inherits the pool and none of its threads.
    """
    remaining = iter(items)
    first = list(islice(remaining, 2))
    if threads <= 1 or len(first) < 2:
        yield from map(work, chain(first, remaining))
        return
    most = max(threads, 2 * threads if ahead is None else ahead)
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, "aasist") as pool:
        try:
            for item in chain(first, remaining):
                pending.append(_begun(pool, work, item))
                while pending and (pending[0].done() or len(pending) >= most):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def _begun(pool: ThreadPoolExecutor, work: Callable[[Item], Result], item: Item) -> Future[Result]:
    try:
        return pool.submit(work, item)
    except RuntimeError:  # the interpreter is ending and starts no more threads; a thread of the user's may still ask
        future: Future[Result] = Future()
        try:
            future.set_result(work(item))
        except Exception as error:
            future.set_exception(error)
        return future
