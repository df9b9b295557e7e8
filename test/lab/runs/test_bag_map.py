"""Windows of exact poses and depth are chained to an exact map."""

from __future__ import annotations

from moe3d_engine.geometry.cameras import invert_rigid
import numpy as np
import pytest

pytest.importorskip('scipy')

from moe3d_engine.lab.runs.bag_map import MapJudge
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import Reconstruction
from moe3d_engine.types import Scale
from moe3d_engine.types import View
from moe3d_engine.window import KeyframeWindow
from moe3d_engine.window import WindowConfig

HW = (24, 32)
K = np.array([[30.0, 0, 15.5], [0, 30.0, 11.5], [0, 0, 1]])


def world_from_cam(number: int) -> np.ndarray:
    """Return a camera that turns while it walks along a curve."""
    angle = 0.05 * number
    pose = np.eye(4)
    pose[:3, :3] = [
        [np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)],
    ]  # fmt: skip
    pose[:3, 3] = 0.1 * number, 0.01 * number**2, 0.02 * np.sin(number)
    return pose


def run(rng: np.random.Generator, num_frames: int = 9, scale: float = 1.0) -> dict[str, float]:
    """Judge windows of an exact network, in another unit if `scale` is not 1."""
    window, judge = KeyframeWindow(WindowConfig(3, 0.15)), MapJudge()
    black = np.zeros((*HW, 3), np.uint8)
    poses = {}
    for number in range(num_frames):
        view = View(black, K, number * 100_000_000)
        poses[view] = world_from_cam(number)
        views = window.push([view]).views
        world = poses[views[0]]  # the window's world is its first camera
        cam_from_world = np.stack([invert_rigid(poses[v]) @ world for v in views])
        cam_from_world[:, :3, 3] *= scale
        truth = rng.uniform(1.0, 4.0, HW).astype(np.float32)
        depth, sure = truth[None] * np.float32(scale), np.ones((1, *HW), np.float32)
        raw = RawOutputs(depth, sure, sure, np.zeros((len(views), 9), np.float32), sure)
        result = Reconstruction(
            views, (len(views) - 1,), black[None], K[None], depth, depth, sure, cam_from_world,
            Scale(1.0, 0.0, 'fixed', True, 'locked'), raw,
        )  # fmt: skip
        known = None if number == 4 else poses[view]
        judge.add(result, known, truth)
    return judge.figures()


@pytest.mark.parametrize('scale', [1.0, 0.25])
def test_exact_windows_give_an_exact_map_in_any_unit(
    rng: np.random.Generator, scale: float
) -> None:
    pytest.importorskip('evo')

    figures = run(rng, scale=scale)

    assert figures['poses'] == 8  # one is not known
    assert figures['pieces'] == 1
    assert figures['path_ratio'] == pytest.approx(scale)
    assert figures['map_scale'] == pytest.approx(1 / scale, rel=1e-5)
    assert figures['auc30'] > 0.99
    for name in ('ate_rmse_m', 'rpe_translation_rmse_m', 'acc_mean', 'comp_mean'):
        assert figures[name] == pytest.approx(0.0, abs=1e-5), name
    assert figures['rpe_rotation_rmse_deg'] == pytest.approx(0.0, abs=1e-4)
    assert figures['f_score'] == 1.0
    assert figures['nc_mean'] == figures['nc_median'] == pytest.approx(1.0, abs=1e-6)


def test_too_few_poses_give_no_figures(rng: np.random.Generator) -> None:
    assert run(rng, num_frames=2) == {}


def test_camera_that_moves_on_a_line_has_a_map_but_no_trajectory_error(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip('evo')

    def on_a_line(number: int) -> np.ndarray:
        pose = np.eye(4)
        pose[0, 3] = 0.05 * number
        return pose

    monkeypatch.setitem(globals(), 'world_from_cam', on_a_line)

    figures = run(rng)

    assert 'ate_rmse_m' not in figures
    assert figures['f_score'] == 1.0
    assert 'moves on one line' in caplog.text
