"""The worker takes the newest item, survives errors and ends when told to."""

from __future__ import annotations

import threading

import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from moe3d_ros.sync import LatestWorker


def test_newest_item_wins_and_the_replaced_one_is_returned() -> None:
    done: list[int] = []
    begun, free = threading.Event(), threading.Event()

    def work(item: int) -> None:
        begun.set()
        free.wait(5.0)
        done.append(item)

    worker = LatestWorker(work, lambda item, error: None)
    worker.start()
    assert worker.submit(1) is None
    assert begun.wait(5.0)
    begun.clear()

    assert worker.submit(2) is None
    assert worker.submit(3) == 2
    free.set()
    assert begun.wait(5.0)
    assert worker.stop(5.0) == []

    assert done == [1, 3]


def test_item_that_was_not_begun_comes_back_at_the_end() -> None:
    begun, free = threading.Event(), threading.Event()

    def work(item: int) -> None:
        begun.set()
        free.wait(5.0)

    worker = LatestWorker(work, lambda item, error: None)
    worker.start()
    worker.submit(1)
    assert begun.wait(5.0)
    worker.submit(2)
    threading.Timer(0.05, free.set).start()

    assert worker.stop(5.0) == [2]


def test_error_is_handed_over_and_the_next_item_goes_on() -> None:
    errors: list[tuple[int, str]] = []
    failed, succeeded = threading.Event(), threading.Event()

    def work(item: int) -> None:
        if item == 0:
            raise ValueError('zero')
        succeeded.set()

    def on_error(item: int, error: Exception) -> None:
        errors.append((item, str(error)))
        failed.set()

    worker = LatestWorker(work, on_error)
    worker.start()
    worker.submit(0)
    assert failed.wait(5.0)
    worker.submit(1)

    assert succeeded.wait(5.0)
    assert errors == [(0, 'zero')]
    worker.stop(5.0)


def test_work_that_does_not_end_is_reported() -> None:
    begun, free = threading.Event(), threading.Event()

    def work(item: int) -> None:
        begun.set()
        free.wait(5.0)

    worker = LatestWorker(work, lambda item, error: None)
    worker.start()
    worker.submit(1)
    assert begun.wait(5.0)

    with pytest.raises(TimeoutError, match=r'still busy after 0\.05 s'):
        worker.stop(0.05)
    free.set()
