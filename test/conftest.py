"""What several folders need: a domain, an installation, tiny weights, a fake backend."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import suppress
import fcntl
import os
from pathlib import Path
import random
import shutil
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from moe3d_engine.assets import find_weights
from moe3d_engine.assets import WeightsCard
from moe3d_engine.backend import check_images
from moe3d_engine.backend import NetworkSpec
from moe3d_engine.types import Float32Array
from moe3d_engine.types import RawOutputs
from moe3d_engine.types import WindowCameras
import numpy as np
import pytest

if TYPE_CHECKING:
    from rclpy.context import Context

ROOT = Path(__file__).resolve().parents[1]

# What the processes of one `make test` share.
SHARED = os.environ.get('MOE3D_TEST_SHARED')


def reserve_domain() -> str:
    """Return an odd domain that no other test process has; it is this one's until it ends."""
    for domain in random.SystemRandom().sample(range(1, 100, 2), 50):
        path = Path(tempfile.gettempdir(), f'moe3d-test-domain-{domain}')
        with suppress(PermissionError, BlockingIOError):  # another user's, another process's
            lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return str(domain)
    raise RuntimeError('Fifty test processes have taken all domains.')


# Test processes on one machine must not hear each other. Processes that tests start inherit both;
# a test that needs a silent domain of its own sets another ROS_DOMAIN_ID, an even one.
os.environ['ROS_DOMAIN_ID'] = reserve_domain()
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'


def copy_checkout(target: Path) -> None:
    """Copy what a clean clone would hold: tracked and new files, nothing that git ignores."""
    listed = subprocess.run(
        ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split('\0')):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


@pytest.fixture(scope='session', autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep compiled networks of the tests, and of processes that they start, out of the home."""
    os.environ['MOE3D_CACHE'] = str(tmp_path_factory.mktemp('cache'))


@pytest.fixture(scope='session')
def colcon_install(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the package with colcon in a workspace of its own; return its install folder."""
    pytest.importorskip('colcon_core', reason='colcon is not installed')
    if not (ROOT / '.git').exists() or shutil.which('git') is None:
        pytest.skip('needs a git checkout to know which files belong to the package')
    workspace = tmp_path_factory.mktemp('workspace')
    copy_checkout(workspace / 'src' / 'moe3d_ros')
    build = subprocess.run(
        [sys.executable, '-m', 'colcon', 'build', '--event-handlers', 'console_cohesion+'],
        cwd=workspace,
        env=os.environ | {'COLCON_HOME': str(workspace / 'colcon')},
        capture_output=True,
        text=True,
        check=False,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    return workspace / 'install'


@pytest.fixture(scope='session')
def installed_environment(colcon_install: Path) -> dict[str, str]:
    """Return the environment of a shell that has sourced the installation."""
    printed = subprocess.run(
        ['bash', '-c', f'. "{colcon_install}/setup.bash" && env -0'],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return dict(line.split('=', 1) for line in printed.split('\0') if line)


@pytest.fixture(scope='session')
def tiny_card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export a tiny random network (56 x 70, four views, metric); return its card's path."""
    return exported('tiny', tmp_path_factory)


@pytest.fixture(scope='session')
def tiny(tiny_card: Path) -> WeightsCard:
    """Return the card of the tiny network."""
    return find_weights(str(tiny_card))


@pytest.fixture(scope='session')
def sweeping_card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export a tiny random network that sweeps (64 x 96, four views); return its card's path."""
    return exported('sweeping', tmp_path_factory)


def exported(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the card that `export_<name>.py` writes, or has written for all processes."""
    if SHARED is not None and Path(SHARED, name, f'{name}.json').exists():
        return Path(SHARED, name, f'{name}.json')
    pytest.importorskip('torch')
    pytest.importorskip('onnxscript')
    folder = tmp_path_factory.mktemp(name)
    script = Path(__file__).with_name(f'export_{name}.py')
    subprocess.run([sys.executable, str(script), str(folder)], check=True)
    return folder / f'{name}.json'


class FakeBackend:
    """
    Reads its answers off the image, so that a test can tell which view an output belongs to.

    Red in [0, 1] becomes depth 1 + 4 * red, green the agreement, blue the boundary confidence.
    Camera i stands 0.1 * i to the right of the first. `units[n]` is the unit of call n.
    """

    name = 'fake'

    def __init__(self, metric: bool = True, units: Sequence[float] = (1.0,)) -> None:
        self.spec = NetworkSpec('fake', (28, 42), 4, metric, 0.05)
        self.units = units
        self.num_encoded = 0
        self.decoded: list[tuple[int, ...]] = []
        self.num_closed = 0

    def encode(self, images: Float32Array) -> list[object]:
        """Return the images themselves."""
        check_images(images, self.spec)
        self.num_encoded += len(images)
        return list(images)

    def reconstruct(
        self,
        features: Sequence[object],
        publish: Sequence[int],
        cameras: WindowCameras | None = None,
    ) -> RawOutputs:
        """Read depth, agreement and confidence off the published images."""
        unit = self.units[min(len(self.decoded), len(self.units) - 1)]
        self.decoded.append(tuple(publish))
        images = np.stack([np.asarray(features[index]) for index in publish])
        pose_encoding = np.zeros((len(features), 9), np.float32)
        pose_encoding[:, 0] = -0.1 * unit * np.arange(len(features))
        pose_encoding[:, 6] = 2.0  # a quaternion need not have unit length
        pose_encoding[:, 7:] = (0.8, 1.1)
        depth = unit * (1.0 + 4.0 * images[:, 0])
        agreement, confidence = images[:, 1].copy(), images[:, 2].copy()
        return RawOutputs(depth, confidence, agreement, pose_encoding, np.ones_like(depth))

    def estimate_cameras(self, features: Sequence[object]) -> Float32Array:
        """Refuse: the cameras come with depth."""
        raise NotImplementedError

    def close(self) -> None:
        """Count the calls."""
        self.num_closed += 1


@pytest.fixture
def fake_backend() -> type[FakeBackend]:
    """Return the class, so that a test chooses metric or relative weights."""
    return FakeBackend


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a seeded random source."""
    return np.random.default_rng(7)


@pytest.fixture(scope='session')
def ros_context() -> Iterator[Context]:
    """Return an initialised context of the tests of a process."""
    from rclpy.context import Context

    context = Context()
    context.init()
    yield context
    context.try_shutdown()
