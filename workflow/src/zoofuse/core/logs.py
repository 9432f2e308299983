"""What a job says: its messages on the terminal and in its log file, and faults of the input without a traceback."""

import contextlib
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

from zoofuse.core import text


@contextlib.contextmanager
def job(log: str) -> Iterator[Callable[[str], None]]:
    """Yield `say(line)`, which writes to the terminal and the log; an error ends the process with exit code 1.

    ValueErrors are faults of the input, already worded for the user: a traceback goes to the log file only, and that of
    one of zoofuse's own kinds not even there, as snakemake may show the log.
    """
    path = Path(log)

    def note(words: str, mode: str = "a") -> None:
        with contextlib.suppress(OSError):  # where a disk is full, that is what is to be told
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open(mode) as handle:
                handle.write(words)

    def say(line: str) -> None:
        line = text.visible(line)
        note(line + "\n")
        tqdm.write(line, file=sys.stderr)

    note("", "w")
    try:
        yield say
    except ValueError as error:
        own = type(error).__module__.startswith("zoofuse")
        words = text.visible(f"Error: {error}")  # names of files and groups come from outside
        note(f"{words}\n" if own else text.visible(traceback.format_exc()))
        tqdm.write(words, file=sys.stderr)
        sys.exit(1)
    except Exception:
        say(traceback.format_exc())
        sys.exit(1)


def bar(total: int | None, unit: str, description: str) -> tqdm:
    """A progress bar with rate and time left; where no terminal looks on, a line every 15 seconds."""
    terminal = sys.stderr.isatty()
    interval = 0.5 if terminal else 15
    return tqdm(total=total, unit=f" {unit}", desc=description, mininterval=interval, dynamic_ncols=terminal)
