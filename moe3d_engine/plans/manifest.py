"""What a compiled plan was built from and for; it lies beside the plan and decides its use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import fields
import hashlib
import json
import os
from pathlib import Path
import re
from typing import Any

from moe3d_engine.assets.card import GRAPHS
from moe3d_engine.assets.card import sha256_of
from moe3d_engine.assets.card import SHIPPED_FOLDER
from moe3d_engine.assets.card import WeightsCard
from moe3d_engine.errors import EngineError

FORMAT = 3  # raised whenever the same request gives other plans
PREPROCESS = 'preprocess'
PLANS = (PREPROCESS, *GRAPHS)  # of every network
MANIFEST_NAME = 'manifest.json'
RUNTIMES = ('tensorrt', 'tensorrt_rtx')
CHECKED, NOT_RUN = 'checked', 'built, not run'
AMPERE = (8, 0)
# What TensorRT-RTX 1.7 runs on, and everything above: neither Orin (8.7) nor Hopper (9.0), the
# Blackwell of data centres (10.x) or Thor (11.0).
RTX_CAPABILITIES = ((7, 5), (8, 0), (8, 6), (8, 9), (12, 0), (12, 1))
_DECODE_KEYS = ('likelihood', 'agree_tau', 'confidence_tau', 'gate_temperature', 'near_bias')
_KEY_DIGITS = 16
_TARGETS = re.compile(r'(\d+\.\d+(,\d+\.\d+)*)?')


@dataclass(frozen=True)
class PlanRequest:
    """
    What decides the content of the plans of a set of weights.

    Parameters
    ----------
    weights : the weights as commands take them: a shipped name, or the path of a card.
    weights_name, weights_sha256 : name and hash of the weights.
    onnx_sha256 : hash of each file of the card that the plans are compiled from, by its role.
    runtime : `tensorrt` or `tensorrt_rtx`.
    runtime_version : as the runtime's module states it.
    gpu_name : name of the GPU that builds; empty for `tensorrt_rtx`, which needs none.
    compute_capability : of that GPU, such as `8.7`. For `tensorrt_rtx` the targets, separated by
        commas; empty is every GPU from Ampere on that TensorRT-RTX supports.
    hardware_compatibility : `none` (this model of GPU only), `same_sm` or `ampere+`.
    precision : arithmetic of the graphs, such as `fp16`.
    accumulation : `float32`, or `float16` where the compiler may add products up in fp16.
    input_hw : (H, W) of the network's input in pixels.
    views : least, most usual and most views of one call.
    decode : settings that are compiled into the graph, such as `agree_tau`.
    """

    weights: str
    weights_name: str
    weights_sha256: str
    onnx_sha256: Mapping[str, str]
    runtime: str
    runtime_version: str
    gpu_name: str
    compute_capability: str
    hardware_compatibility: str
    precision: str
    accumulation: str
    input_hw: tuple[int, int]
    views: tuple[int, int, int]
    decode: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Return the name of the folder of these plans: a hash of all that decides them."""
        content = {f.name: getattr(self, f.name) for f in fields(PlanRequest)}
        del content['weights']  # where a card lies changes nothing
        text = json.dumps(content, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:_KEY_DIGITS]

    @property
    def command(self) -> str:
        """Return the command that builds these plans."""
        words = ['moe3d build', self.weights, f'--precision {self.precision}']
        if self.accumulation != 'float32':
            words.append(f'--accumulation {self.accumulation}')
        words.append(f'--views {" ".join(map(str, self.views))}')
        if self.runtime == 'tensorrt_rtx':
            words.append('--rtx')
            # Without targets plans fit every GPU from Ampere on; this one may be no target.
            if self.compute_capability and not self.gpu_name:
                words.append(f'--rtx-targets {self.compute_capability.replace(",", " ")}')
        elif self.hardware_compatibility != 'none':
            words.append(f'--hardware-compatibility {self.hardware_compatibility}')
        return ' '.join(words)


@dataclass(frozen=True)
class PlanManifest(PlanRequest):
    """
    A request and what came of it; JSON beside the plans, written last.

    Parameters
    ----------
    plan_sha256, plan_bytes : hash and size of each plan, by the names of `plans_of`.
    state : `checked`, or `built, not run` where no GPU could run the plans.
    self_check : figures of the numerics check; None if they were not run.
    created_by : the command that built the plans.
    format : of this file.
    """

    plan_sha256: Mapping[str, str]
    plan_bytes: Mapping[str, int]
    state: str
    self_check: Mapping[str, float] | None
    created_by: str
    format: int = FORMAT


def plan_request(
    card: WeightsCard,
    *,
    runtime: str,
    runtime_version: str,
    gpu_name: str,
    compute_capability: str,
    precision: str,
    views: tuple[int, int, int],
    accumulation: str = 'float32',
    hardware_compatibility: str = 'none',
) -> PlanRequest:
    """Return the request for plans of a card's weights; see PlanRequest for the arguments."""
    shipped = card.folder.resolve() == SHIPPED_FOLDER.resolve()
    return PlanRequest(
        weights=card.name if shipped else str(card.folder.resolve() / f'{card.name}.json'),
        weights_name=card.name,
        weights_sha256=card.files['weights'].sha256,
        onnx_sha256={role: card.files[role].sha256 for role in source_roles(card, precision)},
        runtime=runtime,
        runtime_version=runtime_version,
        gpu_name=gpu_name,
        compute_capability=compute_capability,
        hardware_compatibility=hardware_compatibility,
        precision=precision,
        accumulation=accumulation,
        input_hw=card.input_hw,
        views=views,
        decode={key: card.config[key] for key in _DECODE_KEYS if key in card.config},
    )


def plans_of(card: WeightsCard) -> tuple[str, ...]:
    """Return the names of all plans: the weights' graphs, and what fits camera images to them."""
    return (PREPROCESS, *card.graphs)


def graph_role(card: WeightsCard, graph: str, precision: str) -> str:
    """Return the role of the file to compile: of this precision if exported, else float32."""
    return f'{graph}.{precision}' if f'{graph}.{precision}' in card.files else graph


def source_roles(card: WeightsCard, precision: str) -> list[str]:
    """Return the roles of all files that plans of a precision are compiled from."""
    roles = [graph_role(card, graph, precision) for graph in card.graphs]
    return roles + [f'{role}.data' for role in roles if f'{role}.data' in card.files]


def write_manifest(manifest: PlanManifest, folder: Path) -> Path:
    """Write `manifest.json` so that it is there whole or not at all; return its path."""
    path = folder / MANIFEST_NAME
    partial = path.with_suffix('.part')
    with partial.open('w', encoding='utf-8') as file:
        file.write(json.dumps(asdict(manifest), indent=2) + '\n')
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
    return path


def read_manifest(folder: Path) -> PlanManifest:
    """
    Read the manifest of a folder of plans; the plans are checked by `verified_plans`.

    Raises
    ------
    EngineError
        If it is missing, corrupt or of another format.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise EngineError(
            f'There is no plan in {folder}: {path.name} is missing. Run moe3d build.'
        )
    try:
        content = json.loads(path.read_bytes())
        if content['format'] != FORMAT:
            raise ValueError(f'its format is {content["format"]}, this version reads {FORMAT}')
        content['input_hw'] = tuple(map(int, content['input_hw']))
        content['views'] = tuple(map(int, content['views']))
        manifest = PlanManifest(**content)
        plans = {*PLANS, *(role.partition('.')[0] for role in content['onnx_sha256'])}
        if not (plans <= manifest.plan_sha256.keys() and plans <= manifest.plan_bytes.keys()):
            raise ValueError('plan_sha256 or plan_bytes lack a plan')
        if len(manifest.views) != 3 or not _TARGETS.fullmatch(manifest.compute_capability):
            raise ValueError('views or compute_capability are none')
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise EngineError(
            f'{path} is no manifest of this version ({error}). Delete {folder} and run moe3d '
            'build.'
        ) from error
    return manifest


def verified_plans(folder: Path, manifest: PlanManifest) -> dict[str, Path]:
    """
    Return the path of each plan by its name after checking sizes and hashes.

    Raises
    ------
    EngineError
        If a plan is missing, truncated or altered.
    """
    paths = {plan: folder / f'{plan}.plan' for plan in manifest.plan_sha256}
    for plan, path in paths.items():
        mend = f'Build it again: `{manifest.command}`.'
        if not path.is_file():
            raise EngineError(f'The plan {path} is missing. {mend}')
        size, expected = path.stat().st_size, manifest.plan_bytes[plan]
        if size != expected:
            raise EngineError(
                f'The plan {path} is truncated or altered: it has {size} bytes, its manifest says '
                f'{expected}. {mend}'
            )
        if sha256_of(path) != manifest.plan_sha256[plan]:
            raise EngineError(
                f'The plan {path} is corrupt: its sha256 is not the one of its manifest. {mend}'
            )
    return paths


def check_manifest(manifest: PlanManifest, expected: PlanRequest) -> None:
    """
    Refuse plans that are not for these weights, this runtime, this GPU and these windows.

    Parameters
    ----------
    manifest : of the plans at hand.
    expected : what is needed here. Its `views` must lie within the plans'; its
        `hardware_compatibility` and `accumulation` are not compared; an empty
        `compute_capability` (no GPU is known) compares no GPU.

    Raises
    ------
    EngineError
        With one sentence for each mismatch and the command that mends them all.
    """
    reasons = mismatches(manifest, expected)
    if reasons:
        raise EngineError(
            f'The plans of {manifest.weights_name} cannot be used: {" ".join(reasons)} Build them '
            f'for this machine: `{expected.command}`.'
        )


def mismatches(manifest: PlanManifest, expected: PlanRequest) -> list[str]:
    """Return a sentence for each way in which plans are not what is expected."""
    compared = {
        'weights': ('weights_name', 'weights_sha256'),
        'ONNX graphs': ('onnx_sha256',),
        'runtime': ('runtime', 'runtime_version'),
        'precision': ('precision',),
        'input size (height, width)': ('input_hw',),
        'decode settings': ('decode',),
    }
    reasons = []
    for what, names in compared.items():
        built, wanted = (
            [getattr(request, name) for name in names] for request in (manifest, expected)
        )
        if built != wanted:
            reasons.append(f'Their {what} are {_shown(built)}, expected {_shown(wanted)}.')
    least, _, most = manifest.views
    if expected.views[0] < least or expected.views[2] > most:
        reasons.append(
            f'They take {least} to {most} views, {expected.views[0]} to {expected.views[2]} are '
            'expected.'
        )
    return reasons + _gpu_mismatches(manifest, expected)


def _shown(values: list[Any]) -> str:
    """Return values for a sentence, with hashes cut short."""
    flat = [part for v in values for part in (v.values() if isinstance(v, Mapping) else [v])]
    return ' '.join(
        f'{v[:12]}...' if isinstance(v, str) and len(v) == 64 else str(v) for v in flat
    )


def _gpu_mismatches(manifest: PlanManifest, expected: PlanRequest) -> list[str]:
    """Return at most one sentence on the GPU."""
    here = expected.compute_capability
    if not here:
        return []
    built = manifest.compute_capability
    rtx = manifest.runtime == 'tensorrt_rtx'
    if rtx and not supports_rtx(here):
        fits, needed = False, 'are of TensorRT-RTX, which does not run on this kind of GPU'
    elif manifest.hardware_compatibility == 'ampere+' or (rtx and not built):
        fits, needed = _version(here) >= AMPERE, 'need compute capability 8.0 or above'
    elif here not in built.split(','):
        fits, needed = False, f'are for compute capability {" or ".join(built.split(","))}'
    else:
        other_model = manifest.gpu_name != expected.gpu_name
        fits = rtx or manifest.hardware_compatibility == 'same_sm' or not other_model
        needed = f'were built on {manifest.gpu_name}'
    return [] if fits else [f'They {needed}, this GPU is {expected.gpu_name} ({here}).']


def supports_rtx(compute_capability: str) -> bool:
    """Return whether TensorRT-RTX runs on a GPU of this compute capability, such as `8.6`."""
    version = _version(compute_capability)
    return version in RTX_CAPABILITIES or version > RTX_CAPABILITIES[-1]


def _version(compute_capability: str) -> tuple[int, ...]:
    """Return `8.7` as (8, 7)."""
    return tuple(int(part) for part in compute_capability.split('.'))
