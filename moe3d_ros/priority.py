"""Which threads wait for which, where the processor cannot serve them all."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
import os
import sys
import threading
from typing import TypeVar

import threadpoolctl

# Poses are wanted at the rate of the images, depth as often as there is time for it: a thread that
# is nicer by so much gets a tenth of what others get, and everything that nobody else wants.
NICER = 10
SWITCH_S = 5e-4  # for which a thread may hold Python while another waits; 5 ms where nobody says

Result = TypeVar('Result')


def share_processor() -> None:
    """
    Let the threads of this process share the processor as tracking needs it.

    Linear algebra runs in the thread that asks for it: a matrix of a bundle adjustment is not
    worth waiting for a second core on which the network is at work. And Python is handed on ten
    times sooner than by default, for each call into OpenCV may have to wait for it once.
    """
    sys.setswitchinterval(SWITCH_S)
    threadpoolctl.threadpool_limits(1, user_api='blas')


def go_behind_poses() -> None:
    """Let this thread, and those that it will create, wait where poses need the processor."""
    thread = threading.get_native_id()
    nice = os.getpriority(os.PRIO_PROCESS, thread)
    os.setpriority(os.PRIO_PROCESS, thread, nice + NICER)  # Linux cuts it off at 19


def run_behind_poses(work: Callable[[], Result]) -> Result:
    """Return the result of work whose threads, such as a runtime's own, are to wait for poses."""
    with ThreadPoolExecutor(1, 'moe3d_open', go_behind_poses) as executor:
        return executor.submit(work).result()
