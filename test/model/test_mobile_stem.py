"""The pretrained stem: batch norm folding, strides, and foreign weights."""

from __future__ import annotations

from moe3d_engine.errors import CheckpointError
from moe3d_engine.model import preset
from moe3d_engine.model.mobile_stem import BATCH_NORM_EPS
from moe3d_engine.model.mobile_stem import MobileStem
from moe3d_engine.model.mobile_stem import SKIP_CHANNELS
import pytest
import torch
from torch import nn
from torch import Tensor

pytestmark = pytest.mark.instruction_sets


def classifier_state(stem: MobileStem) -> dict[str, Tensor]:
    """Return random weights with the names and shapes of the published classifier."""
    generator = torch.Generator().manual_seed(3)
    convs = {'_conv_stem': ('_bn0', stem.first)}
    for index, block in enumerate(block for stage in stem.stages for block in stage):
        prefix = f'_blocks.{index}.'
        if block.expand is not None:
            convs[f'{prefix}_expand_conv'] = (f'{prefix}_bn0', block.expand)
        convs[f'{prefix}_depthwise_conv'] = (f'{prefix}_bn1', block.depthwise)
        convs[f'{prefix}_project_conv'] = (f'{prefix}_bn2', block.project)
    state = {}
    for name, (norm, conv) in convs.items():
        state[f'{name}.weight'] = torch.randn(conv.weight.shape, generator=generator)
        for leaf in ('weight', 'bias', 'running_mean', 'running_var'):
            values = torch.rand(conv.weight.shape[0], generator=generator)
            state[f'{norm}.{leaf}'] = values + 0.5
    return state


def test_folded_batch_norm_equals_convolution_and_batch_norm() -> None:
    stem = MobileStem(preset('moe3d-small'))
    state = classifier_state(stem)
    stem.load_efficientnet_lite0(state)
    images = torch.randn(1, 3, 32, 32)
    norm = nn.BatchNorm2d(32, eps=BATCH_NORM_EPS).eval()
    norm.load_state_dict(
        {k: state[f'_bn0.{k}'] for k in ('weight', 'bias', 'running_mean', 'running_var')}
        | {'num_batches_tracked': torch.tensor(0)}
    )

    padded = nn.functional.pad(images, (0, 1, 0, 1))
    expected = norm(nn.functional.conv2d(padded, state['_conv_stem.weight'], stride=2))

    torch.testing.assert_close(stem.first(images), expected, rtol=1e-4, atol=1e-4)


def test_maps_lie_at_strides_one_two_four_eight_and_sixteen() -> None:
    config = preset('moe3d-small')
    patches, skips = MobileStem(config)(torch.randn(2, 3, 48, 64))

    assert patches.shape == (2, config.embed_dim, 3, 4)
    for stride, channels in zip((1, 2, 4, 8), SKIP_CHANNELS, strict=True):
        assert skips[f'skip{stride}'].shape == (2, channels, 48 // stride, 64 // stride)


def test_foreign_weights_are_refused_by_the_missing_name() -> None:
    stem = MobileStem(preset('moe3d-small'))
    state = classifier_state(stem)
    del state['_blocks.3._bn1.running_var']

    with pytest.raises(CheckpointError, match=r'_blocks\.3\._bn1\.running_var'):
        stem.load_efficientnet_lite0(state)
