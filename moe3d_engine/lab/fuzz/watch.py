"""What surrounds the cases: logs are collected, decoders are silenced, a hang is named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import faulthandler
import logging
import os
import sys
import threading
from typing import TextIO

HANG_S = 60  # a case that takes longer is given up, and the process with it
_STDERR = 2


@contextmanager
def checked_logs() -> Iterator[list[str]]:
    """Collect what the engine logs, and show it to nobody."""
    texts: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: texts.append(record.getMessage())  # type: ignore[method-assign]
    engine = logging.getLogger('moe3d_engine')
    before = engine.propagate
    engine.addHandler(handler)
    engine.propagate = False
    try:
        yield texts
    finally:
        engine.removeHandler(handler)
        engine.propagate = before


@contextmanager
def quiet_decoders() -> Iterator[TextIO]:
    """Throw away what libjpeg, libpng and OpenCV print; yield a stderr that still is one."""
    sys.stderr.flush()
    with os.fdopen(os.dup(_STDERR), 'w') as stderr, open(os.devnull, 'w') as nowhere:
        os.dup2(nowhere.fileno(), _STDERR)
        try:
            yield stderr
        finally:
            sys.stderr.flush()
            os.dup2(stderr.fileno(), _STDERR)


class Watchdog:
    """
    Ends the process when a case hangs, and says which one.

    Parameters
    ----------
    stderr : where it is said.
    """

    def __init__(self, stderr: TextIO) -> None:
        self._stderr = stderr
        self._current: str | None = None
        self._seconds = 0  # counted, so that a process that was halted has not hung
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name='watchdog', daemon=True)

    def __enter__(self) -> Watchdog:
        """Begin to watch."""
        faulthandler.enable(self._stderr)  # where a decoder crashes
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Watch no more."""
        self._stopped.set()
        self._thread.join()
        faulthandler.disable()

    @contextmanager
    def watching(self, command: str) -> Iterator[None]:
        """Expect the block to end in time; `command` runs it again."""
        self._current, self._seconds = command, 0
        try:
            yield
        finally:
            self._current = None

    def _watch(self) -> None:
        while not self._stopped.wait(1.0):
            self._seconds += 1
            current = self._current
            if current is not None and self._seconds > HANG_S:
                text = f'A case takes longer than {HANG_S} s. Again: {current}'
                print(text, file=self._stderr, flush=True)
                faulthandler.dump_traceback(self._stderr)
                os._exit(1)
