"""The threads of the node share the processor as tracking needs it."""

from __future__ import annotations

from collections.abc import Iterator
import sys

from moe3d_ros.priority import share_processor
import numpy as np
import pytest
import threadpoolctl


@pytest.fixture
def settings_of_before() -> Iterator[None]:
    interval_s = sys.getswitchinterval()
    with threadpoolctl.threadpool_limits(user_api='blas'):
        yield
    sys.setswitchinterval(interval_s)


@pytest.mark.usefixtures('settings_of_before')
def test_linear_algebra_stays_in_its_thread_and_python_is_handed_on_soon() -> None:
    assert np.linalg.inv(np.eye(2))[0, 0] == 1.0  # loads the library

    share_processor()

    pools = [pool for pool in threadpoolctl.threadpool_info() if pool['user_api'] == 'blas']
    assert pools
    assert {pool['num_threads'] for pool in pools} == {1}
    assert sys.getswitchinterval() < 1e-3
