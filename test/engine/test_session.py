"""A session on a backend with analytic outputs."""

from __future__ import annotations

from dataclasses import replace
import math
from typing import Any

from moe3d_engine.errors import BackendError
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import ShapeError
from moe3d_engine.geometry.cameras import intrinsics_from_fov
from moe3d_engine.geometry.fit import resampling_matrices
from moe3d_engine.geometry.fit import to_network
from moe3d_engine.intake.drops import Drop
from moe3d_engine.intake.drops import DropReason
from moe3d_engine.intake.drops import Restart
from moe3d_engine.intake.drops import RestartReason
from moe3d_engine.network import Engine
from moe3d_engine.policy import limit_range
from moe3d_engine.policy import Thresholds
from moe3d_engine.scale import ScaleConfig
from moe3d_engine.session import Session
from moe3d_engine.session import SessionConfig
from moe3d_engine.types import PosePrior
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import View
from moe3d_engine.types import WindowCameras
import numpy as np
import pytest

INPUT_HW = (28, 42)
INTRINSICS = np.array([[40.0, 0.0, 20.0], [0.0, 40.0, 14.0], [0.0, 0.0, 1.0]])


def make_view(red: int, green: int = 255, blue: int = 255, known: bool = True) -> View:
    """Return a view whose depth will be 1 + 4 * red / 255."""
    image = np.empty((*INPUT_HW, 3), np.uint8)
    image[:] = (red, green, blue)
    return View(image, INTRINSICS if known else None)


def test_each_published_view_gets_its_own_depth_camera_and_colour(fake_backend: type[Any]) -> None:
    views = [make_view(red) for red in (0, 51, 102)]

    result = Session(Engine(fake_backend())).reconstruct(views, publish=[2, 0])

    np.testing.assert_allclose(result.depth[:, 0, 0], [1 + 4 * 0.4, 1.0], rtol=1e-6)
    np.testing.assert_array_equal(result.image[:, 0, 0, 0], [102, 0])
    assert result.published == (2, 0)
    assert result.views == tuple(views)
    np.testing.assert_allclose(result.intrinsics, [INTRINSICS] * 2)
    np.testing.assert_allclose(result.cam_from_world[:, 0, 3], [0.0, -0.1, -0.2], atol=1e-7)
    assert set(result.timings_ms) == {'preprocess', 'encode', 'reconstruct', 'postprocess'}


def test_all_views_are_published_by_default(fake_backend: type[Any]) -> None:
    result = Session(Engine(fake_backend())).reconstruct([make_view(0), make_view(9)])

    assert result.published == (0, 1)
    assert result.depth.shape == (2, *INPUT_HW)


def test_a_view_seen_in_the_window_before_is_not_encoded_again(fake_backend: type[Any]) -> None:
    backend = fake_backend()
    session = Session(Engine(backend))
    views = [make_view(red) for red in range(4)]

    for window in (views[:2], views[:3], views[1:4]):
        session.reconstruct(window)

    assert backend.num_encoded == 4


def test_only_the_last_window_is_kept(fake_backend: type[Any]) -> None:
    backend = fake_backend()
    session = Session(Engine(backend))
    first, second = make_view(0), make_view(1)

    for window in ([first], [second], [first]):
        session.reconstruct(window)

    assert backend.num_encoded == 3


def test_reset_forgets_the_window(fake_backend: type[Any]) -> None:
    backend = fake_backend()
    session = Session(Engine(backend))
    view = make_view(0)
    session.reconstruct([view])

    session.reset()
    session.reconstruct([view])

    assert backend.num_encoded == 2


def test_a_view_without_intrinsics_gets_the_networks_own(fake_backend: type[Any]) -> None:
    views = [make_view(0), make_view(0, known=False)]

    result = Session(Engine(fake_backend())).reconstruct(views)

    np.testing.assert_allclose(result.intrinsics[0], INTRINSICS)
    np.testing.assert_allclose(
        result.intrinsics[1], intrinsics_from_fov(0.8, 1.1, INPUT_HW), rtol=1e-6
    )


@pytest.mark.parametrize(('green', 'blue'), [(100, 255), (255, 10)])
def test_pixels_between_surfaces_are_rejected(
    fake_backend: type[Any], green: int, blue: int
) -> None:
    view = make_view(51)
    view.image[5, 6, 1:] = (green, blue)

    result = Session(Engine(fake_backend())).reconstruct([view])

    rejected = np.zeros((1, *INPUT_HW), bool)
    rejected[0, 5, 6] = True
    np.testing.assert_array_equal(np.isnan(result.depth), rejected)
    np.testing.assert_array_equal(result.boundary_confidence == 0, rejected)
    np.testing.assert_allclose(result.depth_raw, 1.8, rtol=1e-6)


def test_thresholds_of_zero_reject_nothing(fake_backend: type[Any]) -> None:
    config = SessionConfig(thresholds=Thresholds(min_agreement=0.0, min_confidence=0.0))

    result = Session(Engine(fake_backend()), config).reconstruct([make_view(51, 0, 0)])

    np.testing.assert_array_equal(result.depth, result.depth_raw)


def test_settings_can_be_replaced_between_windows(fake_backend: type[Any]) -> None:
    session = Session(Engine(fake_backend()))
    view = make_view(51, green=100)
    before = session.reconstruct([view])

    session.configure(replace(session.config.thresholds, min_agreement=0.0))
    after = session.reconstruct([view])

    assert np.isnan(before.depth).all()
    assert np.isfinite(after.depth).all()


def test_range_limits_give_nan_below_and_inf_beyond() -> None:
    depth = np.array([0.1, 0.5, 3.0, 3.1, np.nan], np.float32)

    limited = limit_range(depth, 0.5, 3.0)

    np.testing.assert_array_equal(
        limited, np.array([np.nan, 0.5, 3.0, np.inf, np.nan], np.float32)
    )


def test_confidence_beyond_range_stays_and_below_range_is_zero(fake_backend: type[Any]) -> None:
    near, far = make_view(0), make_view(255)
    config = SessionConfig(thresholds=Thresholds(depth_min_m=2.0, depth_max_m=4.0))

    result = Session(Engine(fake_backend()), config).reconstruct([near, far])

    assert np.isnan(result.depth[0]).all()
    assert np.isposinf(result.depth[1]).all()
    assert (result.boundary_confidence[0] == 0).all()
    assert (result.boundary_confidence[1] == 1).all()


@pytest.mark.parametrize(
    ('metric', 'source', 'expected'),
    [
        (True, 'auto', True),
        (True, 'fixed', True),
        (True, 'none', False),
        (False, 'auto', False),
        (False, 'fixed', True),
        (False, 'none', False),
    ],
)
def test_depth_is_metric_only_by_a_named_source(
    fake_backend: type[Any], metric: bool, source: str, expected: bool
) -> None:
    config = SessionConfig(thresholds=Thresholds(depth_max_m=4.0), scale=ScaleConfig(source))

    result = Session(Engine(fake_backend(metric)), config).reconstruct([make_view(255)])

    assert result.scale.metric is expected
    limited = np.isinf(result.depth).all()
    assert limited == expected  # relative depth has no limits in metres


def test_the_factor_scales_depths_and_translations_alike(fake_backend: type[Any]) -> None:
    config = SessionConfig(scale=ScaleConfig('fixed', 2.5))

    result = Session(Engine(fake_backend()), config).reconstruct([make_view(0), make_view(0)])

    np.testing.assert_allclose(result.depth_raw, 2.5, rtol=1e-6)
    np.testing.assert_allclose(result.cam_from_world[1, :3, 3], [-0.25, 0.0, 0.0], rtol=1e-6)


def test_relative_windows_keep_the_unit_of_the_first(fake_backend: type[Any]) -> None:
    """Each call of the backend has another unit; shared views tie them together."""
    backend = fake_backend(metric=False, units=(1.0, 3.0, 0.2))
    config = SessionConfig(scale=ScaleConfig('fixed', 2.0))
    session = Session(Engine(backend), config)
    views = [make_view(51 * k) for k in range(4)]

    results = [session.reconstruct(views[k : k + 2], publish=[1]) for k in range(3)]

    depths = [result.depth[0, 0, 0] for result in results]
    np.testing.assert_allclose(depths, [2 * 1.8, 2 * 2.6, 2 * 3.4], rtol=1e-5)
    steps = [result.cam_from_world[1, 0, 3] for result in results]
    np.testing.assert_allclose(steps, [-0.2] * 3, rtol=1e-5)
    assert backend.decoded == [(1,), (1, 0), (1, 0)]
    assert all(result.depth.shape[0] == 1 for result in results)


def test_metric_windows_decode_nothing_besides_what_is_published(fake_backend: type[Any]) -> None:
    backend = fake_backend(metric=True)
    session = Session(Engine(backend))
    views = [make_view(51 * k) for k in range(3)]

    for k in range(2):
        session.reconstruct(views[k : k + 2], publish=[1])

    assert backend.decoded == [(1,), (1,)]


@pytest.mark.parametrize('field', RawOutputs._fields)
def test_values_that_are_not_finite_are_refused_by_name(
    fake_backend: type[Any], field: str
) -> None:
    class BrokenBackend(fake_backend):
        """Puts one NaN into one output."""

        def reconstruct(
            self,
            features: list[object],
            publish: list[int],
            cameras: WindowCameras | None = None,
        ) -> RawOutputs:
            raw = super().reconstruct(features, publish, cameras)
            getattr(raw, field).flat[3] = np.nan
            return raw

    with pytest.raises(BackendError, match=f'1 of .* values of {field}'):
        Session(Engine(BrokenBackend())).reconstruct([make_view(0)])


def test_images_of_different_sizes_are_refused(fake_backend: type[Any]) -> None:
    other = View(np.zeros((30, 42, 3), np.uint8))

    with pytest.raises(ShapeError, match='one size'):
        Session(Engine(fake_backend())).reconstruct([make_view(0), other])


@pytest.mark.parametrize(('num_views', 'publish'), [(0, None), (5, None), (2, [2]), (2, [])])
def test_impossible_windows_are_refused(
    fake_backend: type[Any], num_views: int, publish: list[int] | None
) -> None:
    with pytest.raises(ShapeError):
        Session(Engine(fake_backend())).reconstruct([make_view(0)] * num_views, publish)


def test_closed_engine_has_released_its_backend(fake_backend: type[Any]) -> None:
    backend = fake_backend()

    Engine(backend).close()

    assert backend.num_closed == 1


def test_results_do_not_share_memory_with_later_ones(fake_backend: type[Any]) -> None:
    session = Session(Engine(fake_backend()))
    view = make_view(51)
    first = session.reconstruct([view])
    image = first.image.copy()

    first.depth[:] = 0.0
    first.image[:] = 0
    second = session.reconstruct([view])

    np.testing.assert_allclose(second.depth, 1.8, rtol=1e-6)
    np.testing.assert_array_equal(second.image, image)


@pytest.mark.parametrize(
    'settings',
    [
        {'depth_min_m': -1.0},
        {'depth_min_m': 3.0, 'depth_max_m': 2.0},
        {'depth_max_m': math.nan},
        {'min_agreement': 1.5},
        {'min_confidence': -0.1},
    ],
)
def test_thresholds_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Thresholds(**settings)


@pytest.mark.parametrize(
    ('source', 'factor'), [('guess', 1.0), ('fixed', 0.0), ('fixed', math.inf)]
)
def test_scale_out_of_range_is_refused(source: str, factor: float) -> None:
    with pytest.raises(ConfigError):
        ScaleConfig(source, factor)


def test_backend_that_fits_camera_images_itself_gives_the_same_reconstruction(
    fake_backend: type[Any],
) -> None:
    class Fitting(fake_backend):  # type: ignore[misc]
        """Fits by the matrices that a GPU multiplies with."""

        def encode_sources(self, sources: np.ndarray) -> tuple[np.ndarray, list[object]]:
            rows, columns = resampling_matrices(sources.shape[1:3], INPUT_HW)
            resized = np.einsum('ij,vjkc,lk->vilc', rows, sources, columns)
            fitted = np.rint(resized).clip(0, 255).astype(np.uint8)
            return fitted, self.encode(to_network(fitted))

    ramp = np.linspace(0, 255, 60 * 90).reshape(60, 90, 1)
    views = [View((ramp * s).astype(np.uint8).repeat(3, 2), INTRINSICS) for s in (0.5, 1.0)]

    plain = Session(Engine(fake_backend())).reconstruct(views)
    backend = Fitting()
    session = Session(Engine(backend))
    fitted = session.reconstruct(views)
    session.reconstruct(views)

    assert backend.num_encoded == 2
    assert set(fitted.timings_ms) == set(plain.timings_ms)
    np.testing.assert_allclose(fitted.image, plain.image.astype(int), atol=1)
    np.testing.assert_allclose(fitted.depth, plain.depth, atol=4.5 / 255)  # one grey level
    np.testing.assert_array_equal(fitted.intrinsics, plain.intrinsics)


def stamped(time_s: float, camera: str = 'camera', red: int = 51) -> View:
    """Return a view of a time and a camera."""
    return replace(make_view(red), stamp_ns=round(time_s * 1e9), camera=camera)


def test_views_of_one_stamp_come_back_with_their_own_camera(fake_backend: type[Any]) -> None:
    session = Session(Engine(fake_backend()))
    session.push([stamped(0.0, 'left'), stamped(0.0, 'right', 102)])

    result = session.push([stamped(0.5, 'left', 153), stamped(0.5, 'right', 204)])

    assert [found.view.camera for found in result.results] == ['left', 'right']
    assert [view.camera for view in result.views] == ['left', 'right', 'left', 'right']
    depths = [found.depth[0, 0] for found in result.results]
    np.testing.assert_allclose(depths, [1 + 4 * 0.6, 1 + 4 * 0.8], rtol=1e-6)


@pytest.mark.parametrize(
    ('first_s', 'time_s', 'text'),
    [
        (1.0, 1.0, 'is there a second publisher'),
        (1.0, 0.5, 'is there a second publisher'),
        (0.0, 0.0, 'the driver does not stamp its images'),
    ],
)
def test_stamp_that_does_not_increase_is_a_drop_and_changes_nothing(
    fake_backend: type[Any], first_s: float, time_s: float, text: str
) -> None:
    session = Session(Engine(fake_backend()))
    session.push([stamped(first_s)])

    dropped = session.push([stamped(time_s)])

    assert isinstance(dropped, Drop)
    assert (dropped.reason, dropped.stamp_ns) == (DropReason.STALE_STAMP, round(time_s * 1e9))
    assert text in dropped.text
    times = [view.stamp_ns for view in session.push([stamped(2.0)]).views]
    assert times == [round(first_s * 1e9), 2_000_000_000]


def test_time_that_jumps_back_begins_a_new_window(fake_backend: type[Any]) -> None:
    restarts: list[Restart] = []
    session = Session(Engine(fake_backend()), on_restart=restarts.append)
    session.push([stamped(9.0)])

    result = session.push([stamped(0.0)])

    assert [view.stamp_ns for view in result.views] == [0]
    assert [restart.reason for restart in restarts] == [RestartReason.TIME_JUMPED]
    assert '9.0 s' in restarts[0].text


def test_engine_that_fails_drops_the_frame_and_begins_anew(fake_backend: type[Any]) -> None:
    class Failing(fake_backend):  # type: ignore[misc]
        """Fails at the second window."""

        def reconstruct(
            self,
            features: list[object],
            publish: list[int],
            cameras: WindowCameras | None = None,
        ) -> RawOutputs:
            if len(self.decoded) == 1:
                self.decoded.append(())
                raise BackendError('out of memory')
            return super().reconstruct(features, publish, cameras)

    restarts: list[Restart] = []
    session = Session(Engine(Failing()), on_restart=restarts.append)
    session.push([stamped(0.0)])

    dropped = session.push([stamped(1.0)])

    assert dropped == Drop(DropReason.BAD_OUTPUT, 1_000_000_000, 'out of memory')
    assert [restart.reason for restart in restarts] == [RestartReason.BAD_OUTPUT]
    assert len(session.push([stamped(2.0)]).views) == 1


def test_pixels_that_no_camera_has_seen_are_not_published(fake_backend: type[Any]) -> None:
    seen = np.ones(INPUT_HW, np.bool_)
    seen[:4] = False
    view = replace(make_view(51), seen=seen)

    result = Session(Engine(fake_backend())).reconstruct([view, make_view(51)])

    np.testing.assert_array_equal(np.isfinite(result.depth[0]), seen)
    assert np.isfinite(result.depth[1]).all()
    assert (result.boundary_confidence[0][~seen] == 0).all()


def test_view_of_a_pose_prior_with_another_shape_is_refused() -> None:
    with pytest.raises(ShapeError, match='4x4'):
        PosePrior(np.eye(3), 'odometry')


def rig_view(camera: str, red: int, stamp_ns: int, pose: PosePrior | None = None) -> View:
    """Return a view of a camera of a rig."""
    return replace(make_view(red), camera=camera, stamp_ns=stamp_ns, pose=pose)


def test_views_of_one_moment_are_published_by_one_inference(fake_backend: type[Any]) -> None:
    backend = fake_backend()
    session = Session(Engine(backend), SessionConfig(poses='network'))

    for moment in range(3):
        cameras = [rig_view(c, 51 * n, moment + 1) for n, c in enumerate(('front', 'left'))]
        result = session.push(cameras)

    assert not isinstance(result, Drop)
    assert [r.view.camera for r in result.results] == ['front', 'left']
    np.testing.assert_allclose(result.depth[:, 0, 0], [1.0, 1.8], rtol=1e-6)
    assert len(backend.decoded) == 3


def test_moments_whose_poses_are_of_the_rig_alone_share_no_window(fake_backend: type[Any]) -> None:
    """The rig may have moved meanwhile: their worlds are not one."""
    session = Session(Engine(fake_backend()))
    shifted = np.eye(4)
    shifted[0, 3] = -0.3
    for moment in range(3):
        result = session.push(
            [
                rig_view('front', 0, moment + 1, PosePrior(np.eye(4), 'rig')),
                rig_view('left', 51, moment + 1, PosePrior(shifted, 'rig')),
            ]
        )

    assert not isinstance(result, Drop)
    assert len(result.views) == 2
    np.testing.assert_allclose(result.cam_from_world[1], shifted)


def test_cameras_of_different_sizes_are_refused_by_name(fake_backend: type[Any]) -> None:
    session = Session(Engine(fake_backend()))
    large = View(np.zeros((56, 84, 3), np.uint8), INTRINSICS, 1, camera='left')

    result = session.push([rig_view('front', 0, 1), large])

    assert isinstance(result, Drop)
    assert result.reason is DropReason.BAD_IMAGE
    assert 'front 42x28, left 84x56' in result.text


def test_depth_of_other_cameras_of_a_rig_does_not_reach_the_tracker(
    fake_backend: type[Any],
) -> None:
    session = Session(Engine(fake_backend()))
    assert session.tracking is not None
    session.tracking.track(rig_view('front', 0, 1))

    session.push([rig_view('left', 51, 1)])
    seen = len(session.tracking._tracker._late)
    session.push([rig_view('front', 51, 2), rig_view('left', 51, 2)])

    assert seen == 0
    assert len(session.tracking._tracker._late) == 1
