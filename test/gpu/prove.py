"""
Prove on a GPU what only a GPU can prove, in at most nine minutes.

    python test/gpu/prove.py --out results              # where there is a GPU
    python test/gpu/prove.py --out results --rehearse   # anywhere: doubles, tiny networks

Each step is a process of its own with a limit of its own, writes `<step>.json` and `<step>.log`,
and leaves `summary.json` behind it: what was done stays when a later step hangs, dies or loses the
GPU. A step that lacks something says what, and is skipped. Beside the tree nothing has to be
brought where torch (with CUDA), cuda-bindings, onnx, onnx-ir, opencv, safetensors, accelerate and
tqdm are; of TensorRT, TensorRT-RTX, cupy and compute-sanitizer it uses what it finds.
"""

from __future__ import annotations

import argparse
from importlib import import_module
import json
import os
from pathlib import Path
import resource
import subprocess
import sys
import time
import traceback
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
BUDGET_S = 9 * 60
# Step, module of this folder, and the most seconds it may take: 505 s together.
STEPS = {
    'versions': ('driver_steps', 20),
    'cuda': ('driver_steps', 40),
    'lost_gpu': ('driver_steps', 40),
    'backend': ('engine_steps', 100),
    'precision': ('engine_steps', 60),
    'sanitizer': ('engine_steps', 80),
    'vggt': ('model_steps', 90),
    'training': ('model_steps', 75),
}


HIDDEN = {'tiny_window': 'engine_steps'}  # what `sanitizer` runs


class SkippedError(Exception):
    """A step that cannot be done here; the message says why."""


def run_step(name: str, out: Path, rehearse: bool) -> int:
    """Do one step in this process and write what came of it after each of its figures."""
    figures: dict[str, Any] = {}
    result: dict[str, Any] = {'step': name, 'state': 'begun', 'figures': figures}
    start = time.perf_counter()

    def note(**found: Any) -> None:  # noqa: ANN401
        figures.update(found)
        result['seconds'] = round(time.perf_counter() - start, 2)
        path = out / f'{name}.json'
        path.write_text(json.dumps(result, indent=1, default=str) + '\n')
        for key, value in found.items():
            print(f'{key}: {value}', flush=True)

    note()
    try:
        module = HIDDEN.get(name) or STEPS[name][0]
        getattr(import_module(module), name)(note, out, rehearse)
        result['state'] = 'done'
    except SkippedError as reason:
        result |= {'state': 'skipped', 'reason': str(reason)}
    except ImportError as error:
        result |= {'state': 'skipped', 'reason': f'a package is missing: {error}'}
    except Exception as error:  # the other steps go on
        traceback.print_exc()
        result |= {'state': 'failed', 'reason': f'{type(error).__name__}: {error}'}
    note()
    return result['state'] == 'failed'


def run_all(out: Path, steps: list[str], rehearse: bool) -> int:
    """Do the steps one after another, each in a process that is killed when its time is up."""
    start = time.perf_counter()
    summary: dict[str, Any] = {}
    for name in steps:
        left_s = BUDGET_S - (time.perf_counter() - start)
        limit_s = STEPS[name][1]
        # A rehearsal may share a slow machine; its CPU time says what an idle one would take.
        limit_s = 6 * limit_s if rehearse else min(limit_s, left_s)
        path = out / f'{name}.json'
        path.unlink(missing_ok=True)
        words = [sys.executable, __file__, '--out', str(out), '--step', name]
        begun, cpu_before = time.perf_counter(), cpu_seconds()
        with (out / f'{name}.log').open('w') as log:
            process = subprocess.Popen(
                [*words, *(['--rehearse'] if rehearse else [])],
                stdout=log, stderr=subprocess.STDOUT,
                env=os.environ | ({'OMP_NUM_THREADS': '1'} if rehearse else {}),
            )  # fmt: skip
            try:
                code: int | str = process.wait(max(limit_s, 1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                code = f'its {limit_s:.0f} s were up'
        result = json.loads(path.read_text()) if path.exists() else {'state': 'nothing written'}
        if result['state'] in ('begun', 'nothing written'):
            result |= {'state': 'died', 'reason': f'the process ended: {code}'}
        result['seconds'] = round(time.perf_counter() - begun, 1)
        result['cpu_seconds'] = round(cpu_seconds() - cpu_before, 1)
        summary[name] = result
        text = json.dumps({'rehearsal': rehearse, 'steps': summary}, indent=1)
        (out / 'summary.json').write_text(text + '\n')
        print(f'{name:<10} {result["state"]:<8} {result["seconds"]:6.1f} s of {limit_s:.0f}, '
              f'{result["cpu_seconds"]:.1f} s of CPU  '
              f'{result.get("reason", "")}', flush=True)  # fmt: skip
    print(f'{time.perf_counter() - start:.0f} s of {BUDGET_S}; results in {out}')
    return any(result['state'] in ('failed', 'died') for result in summary.values())


def cpu_seconds() -> float:
    """Return the CPU time of all processes that were started and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description='Prove the GPU path where there is a GPU.')
    parser.add_argument('--out', type=Path, required=True, help='folder for results')
    parser.add_argument('--rehearse', action='store_true', help='on doubles, without a GPU')
    parser.add_argument('--only', nargs='+', choices=STEPS, default=list(STEPS))
    parser.add_argument('--step', choices=[*STEPS, *HIDDEN], help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.step:
        return run_step(args.step, args.out, args.rehearse)
    return run_all(args.out.resolve(), args.only, args.rehearse)


if __name__ == '__main__':
    sys.modules['prove'] = sys.modules['__main__']  # so that steps raise this SkippedError
    sys.exit(main())
