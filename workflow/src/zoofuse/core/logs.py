"""Messages of jobs on the terminal and in log files, and progress bars."""

import contextlib
import functools
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

from zoofuse.core import code, text


@contextlib.contextmanager
def job(log: str, made_with: str = "") -> Iterator[Callable[[str], None]]:
    """Run a job with a log file; an error ends the process with exit code 1.

    A ValueError is bad input and worded for the user. Its traceback goes to the log file only, and not even there
    if it is an error class of zoofuse, because snakemake may show the log.

    Args:
        log: the log file; it is overwritten.
        made_with: the code that it runs, which its files record (`code.description`).

    Yields:
        A function that writes a line to the terminal and to the log.
    """
    path = Path(log)

    def append(message: str, mode: str = "a") -> None:
        with contextlib.suppress(OSError):  # a full disk must not hide the error that is being reported
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open(mode) as handle:
                handle.write(message)

    def report(line: str) -> None:
        line = text.visible(line)
        append(line + "\n")
        tqdm.write(line, file=sys.stderr)

    append("", "w")
    code.run(made_with)
    try:
        yield report
    except ValueError as error:
        message = text.visible(f"Error: {error}")  # it may hold names of files and groups from outside
        worded = type(error).__module__.startswith("zoofuse")
        append(f"{message}\n" if worded else text.visible(traceback.format_exc()))
        tqdm.write(message, file=sys.stderr)
        sys.exit(1)
    except Exception:
        report(traceback.format_exc())
        sys.exit(1)


@functools.cache
def once(line: str) -> None:
    """Print a line to stderr, the first time only."""
    print(line, file=sys.stderr, flush=True)


def bar(total: int | None, unit: str, description: str) -> tqdm:
    """A progress bar with rate and remaining time; a line every 15 seconds if stderr is not a terminal."""
    terminal = sys.stderr.isatty()
    interval = 0.5 if terminal else 15
    return tqdm(total=total, unit=f" {unit}", desc=description, mininterval=interval, dynamic_ncols=terminal)


@contextlib.contextmanager
def steps(total: int, description: str) -> Iterator[Callable[[int, float], None]]:
    """A bar of training steps; yields what to call with the number of the last step and its loss."""
    with bar(total, "steps", description) as shown:
        yield lambda step, loss: shown.update(step - shown.n)
