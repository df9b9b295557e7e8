"""The manifest of compiled plans: what differs is refused, with the command that mends it."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path
from typing import Any

from moe3d_engine.assets import find_weights
from moe3d_engine.errors import EngineError
from moe3d_engine.plans.manifest import check_manifest
from moe3d_engine.plans.manifest import NOT_RUN
from moe3d_engine.plans.manifest import plan_request
from moe3d_engine.plans.manifest import PlanManifest
from moe3d_engine.plans.manifest import PlanRequest
from moe3d_engine.plans.manifest import PLANS as PLANS_OF_ANY
from moe3d_engine.plans.manifest import read_manifest
from moe3d_engine.plans.manifest import verified_plans
from moe3d_engine.plans.manifest import write_manifest
import pytest

PLANS = (*PLANS_OF_ANY, 'cameras')  # of the shipped weights
ORIN = {'gpu_name': 'Orin', 'compute_capability': '8.7'}


def make_request(**changes: object) -> PlanRequest:
    """Return a request for plans of the shipped weights on an Orin."""
    request = plan_request(
        find_weights('moe3d-small'), runtime='tensorrt', runtime_version='10.3.0',
        precision='fp16', views=(1, 2, 4), **ORIN,
    )  # fmt: skip
    return replace(request, **changes)  # type: ignore[arg-type]


def make_manifest(folder: Path, **changes: object) -> PlanManifest:
    """Write two small plans and their manifest."""
    from moe3d_engine.assets.card import sha256_of

    folder.mkdir(exist_ok=True)
    for graph in PLANS:
        (folder / f'{graph}.plan').write_bytes(graph.encode() * 100)
    manifest = PlanManifest(
        **vars(make_request(**changes)),
        plan_sha256={graph: sha256_of(folder / f'{graph}.plan') for graph in PLANS},
        plan_bytes={graph: 100 * len(graph) for graph in PLANS},
        state=NOT_RUN,
        self_check=None,
        created_by='moe3d build',
    )
    write_manifest(manifest, folder)
    return manifest


def test_manifest_written_then_read_is_the_same(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path)

    assert read_manifest(tmp_path) == manifest
    assert verified_plans(tmp_path, manifest) == {g: tmp_path / f'{g}.plan' for g in PLANS}
    check_manifest(manifest, make_request())


def test_everything_but_the_place_of_the_card_decides_the_key() -> None:
    request = make_request()
    changes: dict[str, Any] = {
        'weights_name': 'x', 'weights_sha256': 'x', 'onnx_sha256': {}, 'runtime': 'tensorrt_rtx',
        'runtime_version': '11', 'gpu_name': 'x', 'compute_capability': '8.6',
        'hardware_compatibility': 'same_sm', 'precision': 'fp32', 'input_hw': (1, 1),
        'accumulation': 'float16',
        'views': (1, 1, 1), 'decode': {},
    }  # fmt: skip
    keys = {replace(request, **{name: value}).key for name, value in changes.items()}

    assert set(changes) == vars(request).keys() - {'weights'}
    assert len(keys | {request.key}) == len(changes) + 1
    assert replace(request, weights='/elsewhere/moe3d-small.json').key == request.key


@pytest.mark.parametrize(
    ('changes', 'sentence'),
    [
        ({'weights_sha256': 'f' * 64}, r'weights are .* expected moe3d-small ffffffffffff'),
        ({'onnx_sha256': {'reconstruct': '0' * 64}}, r'ONNX graphs are .* expected 0{12}\.\.\.'),
        ({'runtime_version': '10.4.0'}, r'tensorrt 10\.3\.0, expected tensorrt 10\.4\.0'),
        ({'runtime': 'tensorrt_rtx'}, r'tensorrt 10\.3\.0, expected tensorrt_rtx'),
        ({'precision': 'bf16'}, r'precision are fp16, expected bf16'),
        ({'input_hw': (96, 96)}, r'\(144, 192\), expected \(96, 96\)'),
        ({'views': (1, 2, 8)}, r'take 1 to 4 views, 1 to 8 are expected'),
        ({'decode': {'agree_tau': 0.1}}, r'decode settings are .*0\.05.*, expected 0\.1'),
        ({'gpu_name': 'Thor', 'compute_capability': '11.0'}, r'8\.7, this GPU is Thor \(11\.0\)'),
        ({'gpu_name': 'Orin NX'}, r'built on Orin, this GPU is Orin NX'),
    ],
)
def test_mismatch_is_refused_with_the_command(
    changes: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    expected = make_request(**changes)

    with pytest.raises(EngineError, match=sentence) as refusal:
        check_manifest(make_manifest(tmp_path), expected)

    assert f'`{expected.command}`' in str(refusal.value)
    assert expected.command.startswith('moe3d build moe3d-small --precision ')


def test_all_mismatches_are_named_at_once(tmp_path: Path) -> None:
    expected = make_request(precision='fp32', runtime_version='11', views=(1, 2, 8))

    with pytest.raises(EngineError, match=r'runtime.*precision.*views'):
        check_manifest(make_manifest(tmp_path), expected)


@pytest.mark.parametrize(
    ('built', 'here', 'fits'),
    [
        ({'hardware_compatibility': 'same_sm'}, ('Orin NX', '8.7'), True),
        ({'accumulation': 'float16'}, ('Orin', '8.7'), True),
        ({'hardware_compatibility': 'same_sm'}, ('RTX 3090', '8.6'), False),
        ({'hardware_compatibility': 'ampere+'}, ('RTX 5090', '12.0'), True),
        ({'hardware_compatibility': 'ampere+'}, ('T4', '7.5'), False),
        ({'runtime': 'tensorrt_rtx', 'compute_capability': ''}, ('RTX 5090', '12.0'), True),
        ({'runtime': 'tensorrt_rtx', 'compute_capability': ''}, ('RTX 4090', '8.9'), True),
        ({'runtime': 'tensorrt_rtx', 'compute_capability': ''}, ('a later one', '13.0'), True),
        ({'runtime': 'tensorrt_rtx', 'compute_capability': ''}, ('T4', '7.5'), False),
        ({'runtime': 'tensorrt_rtx', 'compute_capability': ''}, ('Orin', '8.7'), False),
        ({'runtime': 'tensorrt_rtx', 'compute_capability': ''}, ('H100', '9.0'), False),
        ({'runtime': 'tensorrt_rtx', 'compute_capability': ''}, ('B200', '10.0'), False),
        ({'runtime': 'tensorrt_rtx', 'compute_capability': ''}, ('Thor', '11.0'), False),
        ({'runtime': 'tensorrt_rtx', 'compute_capability': '7.5,8.6'}, ('T4', '7.5'), True),
        ({'runtime': 'tensorrt_rtx', 'compute_capability': '8.6'}, ('RTX 4090', '8.9'), False),
    ],
)
def test_plans_run_on_the_gpus_that_they_were_made_for(
    built: dict[str, str], here: tuple[str, str], fits: bool, tmp_path: Path
) -> None:
    from moe3d_engine.plans.manifest import mismatches

    manifest = make_manifest(tmp_path, **built)
    expected = make_request(runtime=manifest.runtime, gpu_name=here[0], compute_capability=here[1])

    assert (mismatches(manifest, expected) == []) is fits


def test_plans_of_tensorrt_rtx_are_refused_with_the_reason_where_it_runs_on_no_gpu(
    tmp_path: Path,
) -> None:
    manifest = make_manifest(tmp_path, runtime='tensorrt_rtx', compute_capability='')
    here = make_request(runtime='tensorrt_rtx', gpu_name='H100', compute_capability='9.0')

    with pytest.raises(EngineError, match=r'TensorRT-RTX, which does not run on .* H100 \(9\.0\)'):
        check_manifest(manifest, here)


def test_command_names_targets_and_compatibility() -> None:
    rtx = make_request(runtime='tensorrt_rtx', compute_capability='8.6,8.9', gpu_name='')

    assert rtx.command == (
        'moe3d build moe3d-small --precision fp16 --views 1 2 4 --rtx --rtx-targets 8.6 8.9'
    )
    assert '--precision fp16 --accumulation float16 --views' in (
        make_request(accumulation='float16').command
    )
    assert make_request(hardware_compatibility='same_sm').command.endswith(
        '--hardware-compatibility same_sm'
    )


def test_command_for_the_gpu_that_is_here_builds_for_all_that_rtx_knows() -> None:
    here = make_request(runtime='tensorrt_rtx', compute_capability='8.7', gpu_name='Orin')

    assert here.command.endswith('--rtx')


@pytest.mark.parametrize(
    'change',
    [
        {'format': 99},
        {'colour': 'red'},
        {'views': [1, 2]},
        {'plan_sha256': {}},
        {'plan_bytes': None},
        {'compute_capability': 'eight'},
    ],
)
def test_manifest_of_another_form_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    make_manifest(tmp_path)
    path = tmp_path / 'manifest.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | change))

    with pytest.raises(EngineError, match=r'is no manifest .* run moe3d build'):
        read_manifest(tmp_path)


@pytest.mark.parametrize('content', [b'', b'{', b'[]', b'\xff\x00', b'{"format": 1}'])
def test_corrupt_manifest_is_refused(content: bytes, tmp_path: Path) -> None:
    make_manifest(tmp_path)
    (tmp_path / 'manifest.json').write_bytes(content)

    with pytest.raises(EngineError, match='is no manifest'):
        read_manifest(tmp_path)


def test_folder_without_a_manifest_holds_no_plan(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match='There is no plan'):
        read_manifest(tmp_path)


def test_missing_truncated_and_altered_plans_are_refused(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path)
    plan = tmp_path / 'reconstruct.plan'
    content = plan.read_bytes()

    plan.write_bytes(content[:-1])
    with pytest.raises(EngineError, match=r'truncated.* `moe3d build moe3d-small '):
        verified_plans(tmp_path, manifest)
    plan.write_bytes(b'x' + content[1:])
    with pytest.raises(EngineError, match='is corrupt'):
        verified_plans(tmp_path, manifest)
    plan.unlink()
    with pytest.raises(EngineError, match='is missing'):
        verified_plans(tmp_path, manifest)
