"""A type's name may come from a bag: nothing but packages of messages is ever imported."""

from __future__ import annotations

from pathlib import Path
import sys

from moe3d_engine.errors import InputError
from moe3d_ros.tools.bags.message_class import message_class
import pytest

pytest.importorskip('sensor_msgs')


@pytest.fixture
def marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file that is made as soon as one of three packages on the path is imported."""
    mark = tmp_path / 'imported'
    program = f'open({str(mark)!r}, "w")\n'
    (tmp_path / 'single.py').write_text(program)
    for name in ('plain', 'with_msg'):
        (tmp_path / name).mkdir()
        (tmp_path / name / '__init__.py').write_text(program)
    (tmp_path / 'with_msg' / 'msg').mkdir()
    (tmp_path / 'with_msg' / 'msg' / '__init__.py').write_text(program)
    monkeypatch.syspath_prepend(str(tmp_path))
    return mark


@pytest.mark.parametrize('name', ['single/msg/X', 'plain/msg/X', 'with_msg/msg/X'])
def test_a_package_that_has_no_such_message_is_not_imported(marked: Path, name: str) -> None:
    with pytest.raises(InputError, match='is not installed'):
        message_class(name)
    assert not marked.exists()


@pytest.mark.parametrize('name', ['this/msg/X', 'antigravity/msg/Image', 'no_msgs/msg/Image'])
def test_modules_of_python_are_not_imported(name: str) -> None:
    with pytest.raises(InputError, match='is not installed'):
        message_class(name)
    assert name.partition('/')[0] not in sys.modules


@pytest.mark.parametrize(
    'name', ['', 'Image', 'sensor_msgs/Image', 'os.path/msg/X', '../x/msg/X', 'sensor_msgs/msg/_X',
             'sensor_msgs/msg/Image/msg/X', 'sensor_msgs/srv/SetCameraInfo'],
)  # fmt: skip
def test_what_is_no_type_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match='is no message type'):
        message_class(name)


@pytest.mark.parametrize(
    'name', ['Image', 'CameraInfo', 'PointCloud2', 'NavSatFix', 'JoyFeedback']
)
def test_messages_of_ros_are_found(name: str) -> None:
    assert message_class(f'sensor_msgs/msg/{name}').__name__ == name
