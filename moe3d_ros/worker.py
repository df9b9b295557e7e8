"""One thread that works on the newest item."""

from __future__ import annotations

from collections.abc import Callable
import threading
from typing import Generic
from typing import TypeVar

Item = TypeVar('Item')


class Worker(Generic[Item]):
    """
    Calls `work` with the newest submitted item, in a thread of its own.

    Latest wins: an item that was not begun is replaced by the next one.

    Parameters
    ----------
    work : called in the worker's thread, one item at a time.
    on_error : called there with the item and the exception that `work` has raised; the next item
        goes on.
    """

    def __init__(
        self, work: Callable[[Item], None], on_error: Callable[[Item, Exception], None]
    ) -> None:
        self._work = work
        self._on_error = on_error
        self._changed = threading.Condition()
        self._item: Item | None = None
        self._stopping = False
        # A daemon, so that a backend that never returns cannot keep the process alive.
        self._thread = threading.Thread(target=self._run, name='moe3d_worker', daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, item: Item) -> Item | None:
        """Hand over an item; return the one that it replaces, if that was not begun."""
        with self._changed:
            replaced, self._item = self._item, item
            self._changed.notify()
        return replaced

    def stop(self, timeout_s: float) -> Item | None:
        """
        Let the running item end, begin no other one, and wait for the thread.

        Returns
        -------
        The item that was not begun, if there is one.

        Raises
        ------
        TimeoutError
            If the running item has not ended after `timeout_s`. The thread may still use what it
            was given.
        """
        with self._changed:
            self._stopping = True
            left, self._item = self._item, None
            self._changed.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise TimeoutError(f'The worker is still busy after {timeout_s:g} s.')
        return left

    def _run(self) -> None:
        """Work until stopped."""
        while (item := self._take()) is not None:
            try:
                self._work(item)
            except Exception as error:
                self._on_error(item, error)

    def _take(self) -> Item | None:
        """Wait for the newest item; None = stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._item is not None)
            item, self._item = self._item, None
            return None if self._stopping else item
