"""A bound on what a call may compute, so that a test of one that would take hours fails at once."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def cpu_seconds(most: float) -> Iterator[None]:
    """Stops what runs inside; the time is this process's own, so a busy machine changes nothing.

    Args:
        most: seconds.

    Raises:
        TimeoutError: they have passed.
    """

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"more than {most:g} s")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, most)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
