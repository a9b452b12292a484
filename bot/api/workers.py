"""Several processes behind one port, so that every core answers: Python runs on one core a process.

They part after the bot was opened, and so share its memory. Whichever is free takes the next connection. One that ends
is begun again; when the first process ends, so do they.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

_log = logging.getLogger("signpost")

#: Seconds before a worker is begun again that ended: one that cannot run must not keep a core busy by trying.
_PAUSE = 0.5


def run_workers(count: int, work: Callable[[int], None]) -> None:
    """Run ``work`` in some processes, numbered from 0, until this one is told to stop (SIGTERM, SIGINT); then let them
    finish."""
    gc.collect()
    gc.freeze()  # so that collecting garbage does not touch, and so copy, what is shared
    alive, held = os.pipe()  # the workers read from it: it ends when this process does, however it ends
    running: dict[int, int] = {}  # process -> number
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True
        for worker in running:
            with contextlib.suppress(ProcessLookupError):  # it ended at this very moment
                os.kill(worker, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    while running or not stopping:
        for number in set(range(count)) - set(running.values()):
            if not stopping:
                running[_begin(partial(work, number), alive, held)] = number
        if stopping:
            stop()  # also those that were begun while the signal came
        ended, _ = os.wait()
        running.pop(ended, None)
        if not stopping:
            _log.error("worker %d ended and is begun again", ended)
            time.sleep(_PAUSE)


def _begin(work: Callable[[], None], alive: int, held: int) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    worker = os.fork()
    if worker:
        return worker
    code = 1
    try:
        os.close(held)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the first process too, which passes it on
        threading.Thread(target=_end_with, args=(alive,), daemon=True).start()
        work()
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _end_with(alive: int) -> None:
    os.read(alive, 1)
    os.kill(os.getpid(), signal.SIGTERM)
