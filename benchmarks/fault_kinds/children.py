"""Child processes that may be killed, crash or hang; forked, because importing torch takes longer than most trials."""

import multiprocessing
import os
import resource
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

FORK = multiprocessing.get_context("fork")
# Bytes that a child may allocate beyond what it starts with.
MEMORY = 3 * 2**30


def run(
    function: Callable[..., Any], *args: Any, log: Path, kill_after: float | None = None, limit: float = 300.0
) -> int | None:
    """Runs a function in a process of its own.

    Args:
        function: called with `args`; its output goes to a file.
        log: that file.
        kill_after: seconds after which the process is killed (SIGKILL); default: never.
        limit: seconds after which it counts as hanging.

    Returns:
        the exit code: 0, 1 after an exception, -9 if it was killed, and None if it hung.
    """
    process = FORK.Process(target=_quiet, args=(function, args, log))
    process.start()
    process.join(limit if kill_after is None else kill_after)
    hung = process.is_alive() and kill_after is None
    process.kill()
    process.join()
    return None if hung else process.exitcode


def each(function: Callable[[Any], str | None], items: Sequence[Any], log: Path, limit: float = 20.0) -> list[str]:
    """Calls a function for each item in a process that is replaced when it crashes or hangs.

    Args:
        function: returns what failed, or None.
        items: arguments of the calls.
        log: file for the output.
        limit: seconds for one item.

    Returns:
        a line for each item that failed.
    """
    failures: list[str] = []
    done = 0
    while done < len(items):
        ours, theirs = FORK.Pipe()
        process = FORK.Process(target=_quiet, args=(_answer, (function, items[done:], theirs), log))
        process.start()
        theirs.close()
        try:
            while done < len(items):
                if not ours.poll(limit):
                    raise TimeoutError(f"no answer in {limit:g} s")
                answer = ours.recv()
                failures += [] if answer is None else [f"{done}: {answer}"]
                done += 1
        except (EOFError, TimeoutError) as error:
            process.join(1)
            failures.append(f"{done}: {str(error) or f'the process died with exit code {process.exitcode}'}")
            done += 1
        process.kill()
        process.join()
    return failures


def _answer(function: Callable[[Any], str | None], items: Sequence[Any], pipe: Connection) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    for item in items:
        pipe.send(function(item))


def _quiet(function: Callable[..., Any], args: Sequence[Any], log: Path) -> None:
    torch.set_num_threads(1)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout.flush()
    function(*args)


def last_line(log: Path) -> str:
    """Returns the last line of a log, cut to a readable length."""
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "no output")
