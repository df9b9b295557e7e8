"""The mixture of depths: density, decode and confidence."""

from __future__ import annotations

from dataclasses import replace

from moe3d_engine.errors import ConfigError
from moe3d_engine.model import ModelConfig
from moe3d_engine.model import preset
from moe3d_engine.model.mixture import decode_mixture
from moe3d_engine.model.mixture import gate_entropy
from moe3d_engine.model.mixture import make_mixture
from moe3d_engine.model.mixture import Mixture
from moe3d_engine.model.mixture import mixture_log_likelihood
import pytest
import torch
from torch import Tensor

pytestmark = pytest.mark.instruction_sets

CONFIG = replace(preset('tiny'), num_experts=4)
LIKELIHOODS = ['laplace', 'gaussian']
VARIABLES = ['depth', 'log_depth']


def random_mixture(
    config: ModelConfig = CONFIG, seed: int = 0, hw: tuple[int, int] = (20, 30)
) -> Mixture:
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(2, 2 * config.num_experts, *hw, generator=generator)
    gate = torch.randn(2, config.num_experts, *hw, generator=generator)
    return make_mixture(raw, gate, config)


def on_grid(mixture: Mixture, values: Tensor, config: ModelConfig) -> Tensor:
    """Return the density at values (N, ...) of depth, or of log depth."""
    depth = values if config.mixture_variable == 'depth' else values.exp()
    return mixture_log_likelihood(
        mixture.depth.double(),
        mixture.scale.double(),
        mixture.log_weight.double(),
        depth,
        config.likelihood,
        config.mixture_variable,
    ).exp()


def test_gate_weights_sum_to_one() -> None:
    mixture = random_mixture()

    total = mixture.log_weight.exp().sum(dim=1)

    torch.testing.assert_close(total, torch.ones_like(total))


def test_temperature_sharpens_the_gate() -> None:
    soft = random_mixture()
    sharp = random_mixture(replace(CONFIG, gate_temperature=0.1))

    assert (gate_entropy(sharp.log_weight) < gate_entropy(soft.log_weight)).all()


def test_gate_entropy_is_log_of_the_number_of_equal_experts() -> None:
    log_weight = torch.full((1, 4, 2, 2), 0.25).log()

    entropy = gate_entropy(log_weight)

    torch.testing.assert_close(entropy, torch.full((1, 2, 2), 4.0).log())


@pytest.mark.parametrize('likelihood', LIKELIHOODS)
@pytest.mark.parametrize('variable', VARIABLES)
def test_density_integrates_to_one(likelihood: str, variable: str) -> None:
    config = replace(CONFIG, likelihood=likelihood, mixture_variable=variable)
    mixture = random_mixture(config, hw=(2, 3))
    if variable == 'depth':  # the density of depth has mass below zero, where it is not clipped
        mixture = mixture._replace(depth=mixture.depth + 10)
    low, high = (1e-3, 60.0) if variable == 'depth' else (-12.0, 12.0)
    values = torch.linspace(low, high, 60001, dtype=torch.float64)

    density = on_grid(mixture, values[:, None, None, None], config)

    total = torch.trapezoid(density, values, dim=0)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-3)


@pytest.mark.parametrize('decode', ['agree', 'dominant', 'soft'])
@pytest.mark.parametrize('likelihood', LIKELIHOODS)
@pytest.mark.parametrize('variable', VARIABLES)
def test_boundary_confidence_is_the_mass_near_the_published_depth(
    likelihood: str, variable: str, decode: str
) -> None:
    config = replace(CONFIG, likelihood=likelihood, mixture_variable=variable)
    mixture = random_mixture(config, hw=(4, 5))

    decoded = decode_mixture(mixture, decode, config)

    near, far = 0.95 * decoded.depth.double(), 1.05 * decoded.depth.double()
    if variable == 'log_depth':
        near, far = near.log(), far.log()
    share = torch.linspace(0, 1, 4001, dtype=torch.float64)[:, None, None, None]
    density = on_grid(mixture, near + share * (far - near), config)
    mass = torch.trapezoid(density, dx=1 / 4000, dim=0) * (far - near)
    torch.testing.assert_close(decoded.boundary_confidence.double(), mass, rtol=0, atol=1e-4)


def test_equal_laplace_experts_have_the_closed_form_confidence() -> None:
    raw = torch.randn(1, 2, 8, 8).repeat(1, 4, 1, 1)
    mixture = make_mixture(raw, torch.randn(1, 4, 8, 8), CONFIG)

    decoded = decode_mixture(mixture, 'agree', CONFIG)

    expected = 1 - torch.exp(-CONFIG.confidence_tau * decoded.depth / mixture.scale[:, 0])
    torch.testing.assert_close(decoded.boundary_confidence, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize('decode', ['agree', 'dominant'])
def test_decode_never_averages_across_a_gap(decode: str) -> None:
    generator = torch.Generator().manual_seed(5)
    near = 1 + 0.02 * torch.rand(1, 2, 40, 40, generator=generator)
    far = near * (1.1 + 9 * torch.rand(1, 1, 40, 40, generator=generator))
    depth = torch.cat((near, far), dim=1)
    log_weight = torch.randn(1, 4, 40, 40, generator=generator).log_softmax(dim=1)
    mixture = Mixture(depth, depth, torch.full_like(depth, 0.1), log_weight)

    published = decode_mixture(mixture, decode, CONFIG).depth

    on_near = (published >= near.amin(1) * (1 - 1e-6)) & (published <= near.amax(1) * (1 + 1e-6))
    on_far = (published >= far.amin(1) * (1 - 1e-6)) & (published <= far.amax(1) * (1 + 1e-6))
    assert (on_near | on_far).all()
    assert on_near.any()
    assert on_far.any()


def test_agree_averages_components_of_one_surface() -> None:
    depth = torch.tensor([2.0, 2.06, 9.0, 1.0])[None, :, None, None]
    weight = torch.tensor([0.4, 0.2, 0.3, 0.1])[None, :, None, None]
    mixture = Mixture(depth, depth, torch.full_like(depth, 0.1), weight.log())

    decoded = decode_mixture(mixture, 'agree', CONFIG)

    assert decoded.depth.item() == pytest.approx((0.4 * 2.0 + 0.2 * 2.06) / 0.6)
    assert decoded.agreement.item() == pytest.approx(0.6)
    assert decoded.depth_confidence.item() == 2.0


def test_soft_is_the_weighted_mean_and_agrees_with_nobody_in_a_gap() -> None:
    depth = torch.tensor([1.0, 3.0])[None, :, None, None]
    weight = torch.tensor([0.5, 0.5])[None, :, None, None]
    mixture = Mixture(depth, depth, torch.full_like(depth, 0.01), weight.log())

    decoded = decode_mixture(mixture, 'soft', CONFIG)

    assert decoded.depth.item() == pytest.approx(2.0)
    assert decoded.agreement.item() == 0
    assert decoded.boundary_confidence.item() < 1e-6


def test_extreme_channels_stay_finite() -> None:
    raw = torch.tensor([1e4, 1e4, -1e4, -1e4, 1e4, -1e4, -1e4, 1e4])[None, :, None, None]
    config = replace(CONFIG, mixture_variable='log_depth', scale_limit=1.0)

    mixture = make_mixture(raw, torch.tensor([1e4, -1e4, 0, 0])[None, :, None, None], config)
    decoded = decode_mixture(mixture, 'agree', config)

    assert all(torch.isfinite(x).all() for x in decoded)


@pytest.mark.parametrize(('near_bias', 'published'), [(0.0, 60.0), (0.5, 2.0), (1.0, 2.0)])
def test_near_bias_publishes_a_likely_obstacle_before_a_far_background(
    near_bias: float, published: float
) -> None:
    config = replace(CONFIG, num_experts=2, near_bias=near_bias)
    depth = torch.tensor([2.0, 60.0])[:, None, None]
    weight = torch.tensor([0.3, 0.7])[:, None, None]
    mixture = Mixture(depth, 1 + depth, 0.1 * depth, weight.log())

    assert decode_mixture(mixture, 'dominant', config).depth.item() == published


def test_full_near_bias_has_the_least_expected_relative_error() -> None:
    config = replace(CONFIG, num_experts=2, near_bias=1.0)
    near, far = 2.0, 5.0
    for probability in torch.linspace(0.05, 0.95, 19).tolist():
        weight = torch.tensor([probability, 1 - probability])[:, None, None]
        depth = torch.tensor([near, far])[:, None, None]
        mixture = Mixture(depth, 1 + depth, 0.1 * depth, weight.log())

        chosen = decode_mixture(mixture, 'dominant', config).depth.item()

        errors = {d: probability * abs(d - near) / near + (1 - probability) * abs(d - far) / far
                  for d in (near, far)}  # fmt: skip
        assert errors[chosen] == min(errors.values())


def test_unknown_decode_is_refused() -> None:
    with pytest.raises(ConfigError, match='agree, dominant, soft'):
        decode_mixture(random_mixture(), 'mean', CONFIG)
