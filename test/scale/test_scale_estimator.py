"""The estimate of the scale from observations of any source."""

from __future__ import annotations

from collections.abc import Iterable
import math

from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import InputError
from moe3d_engine.scale.config import NETWORK_LOG_STD
from moe3d_engine.scale.config import ScaleConfig
from moe3d_engine.scale.estimator import LOCK_STD
from moe3d_engine.scale.estimator import MAX_CONTRADICTIONS
from moe3d_engine.scale.estimator import MAX_OBSERVATIONS
from moe3d_engine.scale.estimator import MIN_OBSERVATIONS
from moe3d_engine.scale.estimator import ScaleEstimator
from moe3d_engine.scale.estimator import ScaleObservation
from moe3d_engine.scale.estimator import SLEW
import numpy as np
import pytest

TRUE_LOG = math.log(1.3)


def make_estimator(
    source: str = 'auto', factor: float = 1.0, metric: bool = True
) -> ScaleEstimator:
    return ScaleEstimator(ScaleConfig(source, factor), metric_weights=metric)


def observed(
    log_ratios: Iterable[float], std: float = 0.02, source: str = 'odometry'
) -> list[ScaleObservation]:
    return [ScaleObservation(float(x), std, k, source) for k, x in enumerate(log_ratios)]


def tell(estimator: ScaleEstimator, observations: Iterable[ScaleObservation]) -> None:
    for observation in observations:
        estimator.observe(observation)


def locked_estimator(seed: int = 0) -> ScaleEstimator:
    """Return an estimator that odometry has locked at the truth."""
    estimator = make_estimator()
    tell(estimator, observed(np.random.default_rng(seed).normal(TRUE_LOG, 0.01, 60), 0.01))
    assert estimator.scale.locked
    return estimator


def log_error(estimator: ScaleEstimator) -> float:
    return abs(math.log(estimator.scale.factor) - TRUE_LOG)


def test_factor_of_a_fixed_scale_is_replaced_and_stays_after_a_restart() -> None:
    estimator = make_estimator('fixed', 1.5)

    estimator.set_factor(2.5)
    replaced = estimator.scale
    estimator.restart()

    assert (replaced.factor, replaced.source, replaced.locked) == (2.5, 'fixed', True)
    assert estimator.scale == replaced


@pytest.mark.parametrize('config', [ScaleConfig('auto', 2.0), ScaleConfig('network')])
def test_factor_that_is_not_fixed_is_not_replaced(config: ScaleConfig) -> None:
    with pytest.raises(ConfigError, match=f'it is {config.source}'):
        config.with_factor(3.0)


@pytest.mark.parametrize('share_of_stated', [0.5, 1.0, 2.0])
def test_deviation_covers_the_error_of_white_noise(share_of_stated: float) -> None:
    """Also where observations are twice as noisy as they say."""
    rng = np.random.default_rng(1)
    covered = []
    for _ in range(200):
        estimator = make_estimator()
        noise = rng.normal(TRUE_LOG, 0.03 * share_of_stated, rng.integers(8, 60))
        tell(estimator, observed(noise, 0.03))
        covered.append(log_error(estimator) <= 2 * estimator.scale.std)

    assert np.mean(covered) >= 0.93


def test_noise_that_all_observations_share_is_not_averaged_away() -> None:
    odometry, network = make_estimator('odometry'), make_estimator('network')

    tell(odometry, observed([0.1] * 1000, 1e-4))
    tell(network, observed([0.1] * 1000, 1e-4, 'network'))

    assert odometry.scale.std >= 0.005
    assert network.scale.std >= NETWORK_LOG_STD
    assert not network.scale.locked


def test_a_third_of_wrong_observations_does_not_move_the_estimate() -> None:
    rng = np.random.default_rng(2)
    values = np.where(rng.random(60) < 0.33, TRUE_LOG + 0.5, rng.normal(TRUE_LOG, 0.02, 60))
    estimator = make_estimator()

    tell(estimator, observed(values))

    assert log_error(estimator) < 0.01


def test_locks_when_the_deviation_has_fallen_below_two_percent() -> None:
    rng = np.random.default_rng(3)
    estimator = make_estimator()
    states = []
    for observation in observed(rng.normal(TRUE_LOG, 0.06, 60), 0.06):
        scale = estimator.observe(observation)
        states.append(scale.locked)
        if not any(states[:-1]):
            assert scale.locked == (scale.source == 'odometry' and scale.std < LOCK_STD)

    assert not any(states[:MIN_OBSERVATIONS])
    assert states[-1]


def test_few_observations_are_heard_at_once_but_are_half_as_sure_and_lock_nothing() -> None:
    estimator, sure = make_estimator(), 0.001
    tell(estimator, observed([TRUE_LOG], 0.1))
    first = estimator.scale

    tell(estimator, observed([TRUE_LOG] * (MIN_OBSERVATIONS - 2), sure))
    few = estimator.scale
    tell(estimator, observed([TRUE_LOG], sure))

    assert (first.source, first.factor) == ('odometry', pytest.approx(1.3))
    assert first.std == pytest.approx(0.2, rel=0.01)
    assert few.std < LOCK_STD
    assert not few.locked
    assert estimator.scale.locked


def test_a_locked_factor_only_creeps() -> None:
    estimator = locked_estimator()
    rng = np.random.default_rng(4)
    factors = [estimator.scale.factor]
    for observation in observed(rng.normal(TRUE_LOG + 0.02, 0.02, 300)):
        factors.append(estimator.observe(observation).factor)

    steps = np.abs(np.diff(np.log(factors)))
    assert steps.max() <= SLEW * 1.0001
    assert abs(math.log(factors[-1]) - TRUE_LOG - 0.02) < 0.006


@pytest.mark.parametrize('slip', [0.05, -0.05, 0.4])
def test_bursts_of_slip_do_not_move_a_locked_scale(slip: float) -> None:
    estimator = locked_estimator()
    before = estimator.scale.factor
    for _ in range(5):
        tell(estimator, observed([TRUE_LOG + slip] * (MAX_CONTRADICTIONS - 1), 0.01))
        assert estimator.scale.locked
        tell(estimator, observed([TRUE_LOG] * MAX_CONTRADICTIONS, 0.01))

    assert abs(math.log(estimator.scale.factor / before)) < 0.005


def test_repeated_contradiction_unlocks_and_the_new_scale_is_found() -> None:
    estimator = locked_estimator()
    wrong = observed([TRUE_LOG + 0.2] * 30, 0.01)

    tell(estimator, wrong[: MAX_CONTRADICTIONS - 1])
    assert estimator.scale.locked
    estimator.observe(wrong[0])
    unlocked = estimator.scale
    tell(estimator, wrong)

    assert not unlocked.locked
    assert unlocked.std > 0.15  # the error that is suspected is said
    assert log_error(estimator) == pytest.approx(0.2, abs=0.01)
    assert estimator.scale.locked


def test_contradictions_on_both_sides_are_noise_and_do_not_unlock() -> None:
    estimator = locked_estimator()

    tell(estimator, observed([TRUE_LOG + 0.2, TRUE_LOG - 0.2] * 50, 0.01))

    assert estimator.scale.locked
    assert log_error(estimator) < 0.01


def test_restart_forgets_all() -> None:
    estimator = locked_estimator()

    estimator.restart()

    assert estimator.scale == make_estimator().scale


def test_a_better_source_takes_over_and_a_worse_one_never_does() -> None:
    estimator = make_estimator()
    seen = [estimator.scale.source]
    for source, log_ratio in [
        ('network', 0.3), ('reference_depth', 0.1), ('odometry', 0.12), ('reference_depth', 0.5),
        ('network', -1.0),
    ]:  # fmt: skip
        tell(estimator, observed([log_ratio] * 20, 0.01, source))
        seen.append(estimator.scale.source)

    assert seen == ['network', 'network', 'reference_depth', *['odometry'] * 3]
    assert math.log(estimator.scale.factor) == pytest.approx(0.12, abs=0.01)


@pytest.mark.parametrize(
    ('source', 'factor', 'metric', 'expected'),
    [
        ('auto', 1.0, True, ('network', True, False)),
        ('auto', 1.0, False, ('none', False, False)),
        ('auto', 2.0, False, ('fixed', True, True)),
        ('fixed', 2.0, False, ('fixed', True, True)),
        ('network', 1.0, True, ('network', True, False)),
        ('odometry', 1.0, True, ('network', True, False)),
        ('odometry', 1.0, False, ('none', False, False)),
        ('reference_depth', 1.0, False, ('none', False, False)),
        ('none', 1.0, True, ('none', False, False)),
    ],
)
def test_before_any_observation_the_scale_says_what_is_known(
    source: str, factor: float, metric: bool, expected: tuple[str, bool, bool]
) -> None:
    scale = make_estimator(source, factor, metric).scale

    assert (scale.source, scale.metric, scale.locked) == expected
    assert scale.std == {'network': NETWORK_LOG_STD, 'none': math.inf, 'fixed': 0.0}[scale.source]


@pytest.mark.parametrize(
    ('source', 'metric', 'heard'),
    [
        ('auto', True, {'odometry', 'reference_depth', 'network'}),
        ('auto', False, {'odometry', 'reference_depth'}),
        ('odometry', True, {'odometry'}),
        ('reference_depth', False, {'reference_depth'}),
        ('network', True, {'network'}),
        ('fixed', True, set()),
        ('none', True, set()),
    ],
)
def test_only_sources_that_are_asked_for_are_heard(
    source: str, metric: bool, heard: set[str]
) -> None:
    moved = set()
    for name in ('odometry', 'reference_depth', 'network'):
        estimator = make_estimator(source, metric=metric)
        before = estimator.scale
        tell(estimator, observed([0.5] * 20, 0.01, name))
        if estimator.scale != before:
            moved.add(name)

    assert moved == heard


def test_metres_of_weights_that_know_none_are_refused() -> None:
    with pytest.raises(ConfigError, match='card'):
        make_estimator('network', metric=False)


def test_require_lock_holds_metres_back_until_locked() -> None:
    config = ScaleConfig(require_lock=True)
    unlocked, locked = make_estimator().scale, locked_estimator().scale
    relative = make_estimator('none').scale

    assert [config.releases(scale) for scale in (unlocked, locked, relative)] == [0, 1, 0]
    assert [ScaleConfig().releases(scale) for scale in (unlocked, locked, relative)] == [1, 1, 0]


@pytest.mark.parametrize(
    ('log_ratio', 'std', 'source'),
    [(math.nan, 0.1, 'odometry'), (0.0, 0.0, 'odometry'), (0.0, math.inf, 'network'),
     (0.0, 0.1, 'guess')],
)  # fmt: skip
def test_observation_that_says_nothing_is_refused(
    log_ratio: float, std: float, source: str
) -> None:
    with pytest.raises(InputError):
        ScaleObservation(log_ratio, std, 0, source)


def test_memory_is_bounded() -> None:
    estimator = make_estimator()
    tell(estimator, observed(np.random.default_rng(5).normal(0, 0.3, 2000), 0.01))

    assert sum(map(len, estimator._observed.values())) <= MAX_OBSERVATIONS
    assert len(estimator._contradicting) < MAX_CONTRADICTIONS


def test_rig_stands_between_odometry_and_reference_depth() -> None:
    estimator = make_estimator()
    tell(estimator, observed([0.1] * 20, source='reference_depth'))
    tell(estimator, observed([0.2] * 20, source='rig'))
    by_rig = estimator.scale
    tell(estimator, observed([0.3] * 20, source='reference_depth'))
    unmoved = estimator.scale
    tell(estimator, observed([0.4] * 20, source='odometry'))

    assert (by_rig.source, unmoved.source, estimator.scale.source) == ('rig', 'rig', 'odometry')
    assert unmoved.factor == by_rig.factor == pytest.approx(math.exp(0.2))


@pytest.mark.parametrize(('common_std', 'locked'), [(0.01, True), (0.03, False)])
def test_accuracy_that_a_source_states_bounds_how_sure_the_scale_gets(
    common_std: float, locked: bool
) -> None:
    estimator = make_estimator('rig')
    tell(
        estimator,
        [ScaleObservation(0.2, 0.01, stamp, 'rig', common_std) for stamp in range(40)],
    )

    assert estimator.scale.locked == locked
    assert estimator.scale.std >= common_std
