"""A run whose terminal goes away ends as on Ctrl-C: its jobs end, and the folder is left without a lock."""

import contextlib
import os
import signal
import threading
import time

JOBS = ".snakemake/scripts/"  # in the command of every job, and in that of the shell that starts it


def end_on_hangup() -> None:
    """End this process as on Ctrl-C when its terminal is closed or the connection lost (SIGHUP).

    By default it would end at once, and leave the lock and its jobs behind. Where the signal is ignored already
    (nohup) or somebody else takes care of it, nothing changes.
    """
    with contextlib.suppress(ValueError):  # not in the main thread, where signals can't be caught
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            signal.signal(signal.SIGHUP, _hung_up)


def _hung_up(_number, _frame) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # often sent twice, by the kernel and by the shell
    for descriptor in (1, 2):
        try:
            os.write(descriptor, b"\n")
        except OSError:  # the terminal is gone, and writing to it would stop the way out
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, descriptor)
            os.close(null)
    threading.Thread(target=_end_jobs, daemon=True).start()
    raise KeyboardInterrupt


def _end_jobs() -> None:
    """Tell every job of this process to end, also one that is just being started, as long as this process lives."""
    import psutil  # comes with snakemake, and a job needs none of it

    while True:
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                if any(JOBS in word for word in child.cmdline()):
                    for process in [*child.children(recursive=True), child]:
                        with contextlib.suppress(psutil.Error):
                            process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
