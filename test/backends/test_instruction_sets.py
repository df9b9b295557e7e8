"""The runtimes can be held down to older instruction sets, and are where a run asks for it."""

from __future__ import annotations

from collections.abc import Mapping
import json
import os
from pathlib import Path
import platform
import re
import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip('openvino')
pytest.importorskip('torch')

PROBE = Path(__file__).with_name('probe_instruction_sets.py')
CPU_INFO = Path('/proc/cpuinfo')
BEYOND_AVX2 = re.compile('avx512|avx10|amx|vnni')
OWN_KERNEL = re.compile('jit_avx512_(f32|i32)')  # not oneDNN's; it asks the CPU itself

pytestmark = [
    pytest.mark.instruction_sets,
    pytest.mark.skipif(
        platform.machine() != 'x86_64' or ' avx2 ' not in CPU_INFO.read_text(),
        reason='needs an x86-64 CPU with AVX2',
    ),
]


def probe(environment: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """Return what the probe found in an environment, and all that it printed."""
    printed = subprocess.run(
        [sys.executable, str(PROBE)],
        env={**environment, 'MKL_VERBOSE': '1'},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    (found,) = re.findall(r'^\{.*\}$', printed, re.MULTILINE)
    return json.loads(found), printed


def check_avx2(found: dict[str, Any], printed: str) -> None:
    """Fail if anything but OpenVINO's own elementwise kernels was computed beyond AVX2."""
    assert found['torch'] == 'AVX2'
    assert 'isa:Intel AVX2\n' in printed  # oneDNN in torch; on any vendor's CPU
    assert 'AVX-512' not in printed  # MKL in torch
    assert found['precision'] == 'f32'
    assert any('avx2' in kernel for kernel in found['kernels'])
    held_down = [kernel for kernel in found['kernels'] if not OWN_KERNEL.fullmatch(kernel)]
    assert not [kernel for kernel in held_down if BEYOND_AVX2.search(kernel)]


def test_variables_hold_down_both_runtimes() -> None:
    variables = {
        'ONEDNN_MAX_CPU_ISA': 'AVX2',
        'ATEN_CPU_CAPABILITY': 'avx2',
        'MKL_ENABLE_INSTRUCTIONS': 'AVX2',
    }

    check_avx2(*probe(os.environ | variables))


def test_variables_are_obeyed_below_what_every_cpu_of_today_has() -> None:
    """On a CPU without anything beyond AVX2 the test above cannot fail; this one can."""
    variables = {'ONEDNN_MAX_CPU_ISA': 'SSE41', 'ATEN_CPU_CAPABILITY': 'default'}

    found, printed = probe(os.environ | variables)

    assert found['torch'] == 'DEFAULT'
    assert 'isa:Intel SSE4.1\n' in printed
    assert any('sse42' in kernel for kernel in found['kernels'])
    assert not [kernel for kernel in found['kernels'] if re.search('conv.*avx', kernel)]


@pytest.mark.skipif(
    'ONEDNN_MAX_CPU_ISA' not in os.environ, reason='this run holds no instruction set down'
)
def test_run_that_asks_for_it_is_held_down() -> None:
    check_avx2(*probe(os.environ))
