"""What experts cost: against the network's own layers, and the bounds of the 1B network."""

from __future__ import annotations

from dataclasses import replace
import json

from moe3d_engine.cli.main import run
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import ShapeError
from moe3d_engine.lab.commands import cost as command
import pytest

pytest.importorskip('torch')

from moe3d_engine.lab.runs.cost import median_latencies_ms
from moe3d_engine.lab.runs.cost import network_size
from moe3d_engine.model import Moe3dNet
from moe3d_engine.model import preset

TINY = preset('tiny')
HW = (28, 42)


def test_parameters_are_those_of_the_module() -> None:
    expected = sum(parameter.numel() for parameter in Moe3dNet(TINY).parameters())

    assert network_size(TINY, HW, 1).parameters == expected


def test_experts_cost_exactly_their_convolutions_and_the_gate() -> None:
    """Per pixel: 3x3 from 8 to 8 channels and 1x1 to 2 per expert; the gate alike."""
    num_views, experts = 3, 4
    expert = 2 * (9 * 8 * 8 + 8 * 2)
    gate = 2 * (9 * 8 * 8 + 8 * experts)

    single = network_size(replace(TINY, num_experts=1), HW, num_views)
    mixture = network_size(replace(TINY, num_experts=experts), HW, num_views)

    extra = num_views * HW[0] * HW[1] * ((experts - 1) * expert + gate) / 1e9
    assert mixture.gflops - single.gflops == pytest.approx(extra, rel=1e-6)
    assert mixture.parameters > single.parameters


def test_attention_across_views_is_counted() -> None:
    """Without it, two views would cost exactly twice one."""
    assert network_size(TINY, HW, 2).gflops > 2.001 * network_size(TINY, HW, 1).gflops


def test_four_experts_add_little_to_the_large_network() -> None:
    """One view: the worst case, since attention across views grows faster than the head."""
    single, mixture = (
        network_size(replace(preset('vggt-1b'), num_experts=experts), (392, 518), 1)
        for experts in (1, 4)
    )

    assert 0 < mixture.gflops / single.gflops - 1 <= 0.05
    assert 0 < mixture.parameters / single.parameters - 1 <= 0.01


@pytest.mark.parametrize('bfloat16', [False, True])
def test_each_network_is_timed(bfloat16: bool) -> None:
    latencies_ms = median_latencies_ms(TINY, [1, 3], (28, 28), 1, repeats=1, bfloat16=bfloat16)

    assert len(latencies_ms) == 2
    assert all(latency > 0 for latency in latencies_ms)


def test_command_compares_with_the_single_head_and_says_that_weights_are_random(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ['--preset', 'tiny', '--image-hw', '28', '42', '--views', '2', '--repeats', '0']

    assert run(['cost', '--experts', '4', *arguments, '--json'], [command]) == 0
    report = json.loads(capsys.readouterr().out)
    assert run(['cost', '--experts', '4', *arguments], [command]) == 0
    text = capsys.readouterr().out

    single, mixture = report['networks']
    size = network_size(replace(TINY, num_experts=4), HW, 2)
    assert report['weights'] == 'random'
    assert (single['experts'], mixture['experts']) == (1, 4)
    assert (mixture['parameters'], mixture['gflops']) == size
    assert mixture['gflops_overhead_percent'] == pytest.approx(
        100 * (mixture['gflops'] / single['gflops'] - 1)
    )
    assert 'latency_ms' not in mixture
    assert f'{mixture["gflops_overhead_percent"]:+.2f} %' in text
    assert 'random' in text


def test_settings_that_make_no_sense_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match='repeats'):
        median_latencies_ms(TINY, [1], HW, 1, repeats=0, bfloat16=False)
    with pytest.raises(ShapeError, match='multiples of 14'):
        network_size(TINY, (30, 42), 1)
    assert run(['cost', '--preset', 'tiny', '--repeats', '-1'], [command]) == 2
    assert '--repeats' in capsys.readouterr().err
