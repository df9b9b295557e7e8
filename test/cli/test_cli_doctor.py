"""The report of `moe3d doctor`."""

from __future__ import annotations

from collections.abc import Sequence
import json

from moe3d_engine.assets import find_weights
from moe3d_engine.backends.open import open_float32
from moe3d_engine.cli import doctor
from moe3d_engine.cli.doctor import Check
from moe3d_engine.cli.doctor import compare_with_reference
from moe3d_engine.cli.doctor import engine_checks
from moe3d_engine.cli.doctor import report_checks
from moe3d_engine.cli.doctor import run_check
from moe3d_engine.errors import BackendError
from moe3d_engine.errors import CheckpointError
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import WindowCameras
import pytest

GOOD = Check('air', True, 'fresh')
ABSENT = Check('gold', False, 'not found', required=False)
BAD = Check('water', False, 'Dry. Open the tap.')


def test_only_a_required_check_makes_it_fail() -> None:
    assert report_checks([GOOD, ABSENT], as_json=False) == 0
    assert report_checks([GOOD, ABSENT, BAD], as_json=False) == 1


def test_table_names_state_and_detail(capsys: pytest.CaptureFixture[str]) -> None:
    report_checks([GOOD, ABSENT, BAD], as_json=False)

    assert capsys.readouterr().out.splitlines() == [
        'ok      air    fresh',
        'absent  gold   not found',
        'FAILED  water  Dry. Open the tap.',
    ]


def test_json_holds_all_checks(capsys: pytest.CaptureFixture[str]) -> None:
    report_checks([GOOD, BAD], as_json=True)

    report = json.loads(capsys.readouterr().out)
    assert report['ok'] is False
    assert [check['name'] for check in report['checks']] == ['air', 'water']


def test_expected_error_fails_the_check_with_its_sentence() -> None:
    def broken() -> str:
        raise CheckpointError('The file is corrupt. Reinstall.')

    assert run_check('weights', broken) == Check(
        'weights', False, 'The file is corrupt. Reinstall.'
    )


def test_engine_checks_name_runtimes_weights_and_inference() -> None:
    checks = {check.name: check for check in engine_checks()}

    assert {'python', 'numpy', 'openvino', 'torch', 'weights', 'inference', 'reference'} <= set(
        checks
    )
    assert checks['numpy'].ok
    for name in ('torch', 'tensorrt', 'tensorrt_rtx', 'cuda-python', 'GPU', 'plans'):
        assert not checks[name].required, name


def test_checks_of_the_gpu_say_what_to_do_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ('plans.gpu', 'backends.tensorrt.usable_plans'):
        monkeypatch.setattr(f'moe3d_engine.{module}.current_gpu', lambda: None)

    gpu = run_check('GPU', doctor._check_gpu, required=False)
    plans = run_check('plans', doctor._check_plans, required=False)

    assert not gpu.ok
    assert 'nvidia-smi' in gpu.detail
    assert not plans.ok
    assert 'openvino' in plans.detail


def test_shipped_reference_is_met_and_a_wrong_backend_is_not_believed() -> None:
    backend = open_float32(find_weights('moe3d-small'))
    infer = backend.reconstruct

    def damaged(
        features: Sequence[object],
        publish: Sequence[int],
        cameras: WindowCameras | None = None,
    ) -> RawOutputs:
        raw = infer(features, publish, cameras)
        raw.depth[:, :36] *= 1.05  # a quarter of the pixels, by five in a hundred
        return raw

    try:
        assert 'from the stored depth' in compare_with_reference(backend)
        backend.reconstruct = damaged  # type: ignore[method-assign]
        with pytest.raises(BackendError, match=r'abs_rel 0\.01'):
            compare_with_reference(backend)
    finally:
        backend.close()
