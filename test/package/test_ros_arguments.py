"""What is given to the node and cannot be used is said in one line; nothing is ignored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import subprocess
import sys

from moe3d_engine.errors import ConfigError
import pytest

pytest.importorskip('rclpy', reason='needs ROS or its wheels')

from moe3d_ros.settings.arguments import check_overrides
from moe3d_ros.settings.arguments import ros_errors_in_one_line
from moe3d_ros.settings.parameters import declare_parameters
from moe3d_ros.settings.parameters import undeclared_overrides
from moe3d_ros.tools.bags.plain_node import plain_node
from moe3d_ros.tools.ros_doctor import topic_checks
import rclpy
from rclpy.node import Node
from std_msgs.msg import String

RUN = 'import sys; from moe3d_ros.cli import main; sys.exit(main(sys.argv[1:]))'


@contextmanager
def node_with(words: list[str], name: str = 'moe3d', namespace: str = '') -> Iterator[Node]:
    """Create a node that declares our parameters, in a process that was given these words."""
    context = rclpy.Context()
    context.init(args=words)
    node = rclpy.create_node(name, context=context, namespace=namespace)
    try:
        declare_parameters(node)
        yield node
    finally:
        node.destroy_node()
        context.shutdown()


def write(path: Path, node: str, parameters: str) -> Path:
    """Write a file of parameters."""
    path.write_text(f'{node}:\n  ros__parameters: {parameters}\n')
    return path


def refusal(words: list[str]) -> str:
    """Return why the words are refused."""
    with node_with(words) as node, pytest.raises(ConfigError) as caught:
        check_overrides(node, words)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_unknown_parameter_is_named_with_its_file_and_what_was_meant(tmp_path: Path) -> None:
    path = write(tmp_path / 'mine.yaml', 'moe3d', '{depth: {maxm: 3.0}, camera.name: front}')

    text = refusal(['--ros-args', '--params-file', str(path)])

    assert f'no parameter depth.maxm (in {path}), did you mean depth.max_m?' in text
    assert 'camera.name' not in text


def test_unknown_parameter_of_the_command_line_is_named() -> None:
    text = refusal(['--ros-args', '-p', 'windowsize:=3'])

    assert 'no parameter windowsize (in -p windowsize:=3)' in text


@pytest.mark.parametrize('node', ['other', '/ns/moe3d', '/ns/**'])
def test_file_for_another_node_is_refused(node: str, tmp_path: Path) -> None:
    ours = write(tmp_path / 'ours.yaml', 'moe3d', '{camera.name: front, depth.max_m: 2.0}')
    theirs = write(tmp_path / 'theirs.yaml', node, '{depth.max_m: 3.0}')

    text = refusal(['--ros-args', '--params-file', str(ours), '--params-file', str(theirs)])

    assert f'{theirs} has parameters for /{node.strip("/")}, and this node is /moe3d' in text
    assert str(ours) not in text


def test_parameter_for_another_node_is_refused() -> None:
    assert '-p other:depth.max_m:=3.0 has parameters for other' in refusal(
        ['--ros-args', '-p', 'other:depth.max_m:=3.0']
    )


@pytest.mark.parametrize(
    ('node', 'namespace'),
    [('/**', ''), ('moe3d', ''), ('/moe3d', ''), ('/a/b/moe3d', '/a/b'), ('/**', '/a/b')],
)
def test_file_for_this_node_is_taken(node: str, namespace: str, tmp_path: Path) -> None:
    path = write(tmp_path / 'mine.yaml', node, '{depth.max_m: 3.0}')
    path.write_text(path.read_text() + 'other:\n  ros__parameters: {speed: 1.0}\n')
    words = ['--ros-args', '--params-file', str(path), '-p', 'depth.min_m:=0.5']

    with node_with(words, namespace=namespace) as node_of_ours:
        check_overrides(node_of_ours, words)
        assert node_of_ours.get_parameter('depth.max_m').value == 3.0


def test_file_with_nested_namespaces_is_taken(tmp_path: Path) -> None:
    path = tmp_path / 'mine.yaml'
    path.write_text('a:\n  moe3d:\n    ros__parameters: {depth.max_m: 3.0}\n')
    words = ['--ros-args', '--params-file', str(path)]

    with node_with(words, namespace='/a') as node:
        check_overrides(node, words)
        assert node.get_parameter('depth.max_m').value == 3.0


def test_parameters_of_ros_itself_are_legal() -> None:
    words = ['--ros-args', '-p', 'use_sim_time:=true']
    words += ['-p', 'start_type_description_service:=true']
    words += ['-p', 'qos_overrides./camera/image_raw.subscription.depth:=3']

    with node_with(words) as node:
        assert undeclared_overrides(node) == []
        check_overrides(node, words)


@pytest.mark.parametrize(
    ('words', 'text'),
    [
        (['-p', 'depth'], 'parameter override rule'),
        (['-p', 'a:=[1,'], 'parameter override rule'),
        (['--params-file', 'none.yaml'], 'params file'),
        (['-r', 'a'], 'remap rule'),
        (['--nonsense'], 'nonsense'),
        (['--log-level', 'loud'], 'log level'),
    ],
)
def test_argument_that_ros_cannot_parse_is_one_line(words: list[str], text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught, ros_errors_in_one_line():
        rclpy.Context().init(args=['--ros-args', *words])

    assert '\n' not in str(caught.value)
    assert '.c:' not in str(caught.value)


def test_topic_that_cannot_be_one_is_a_failed_check() -> None:
    (check,) = topic_checks('/a b', None, 0.1)

    assert not check.ok
    assert '/a b' in check.detail
    assert '\n' not in check.detail


def test_tool_that_publishes_on_such_a_topic_ends_with_one_line() -> None:
    with pytest.raises(ConfigError, match='/a b') as caught, plain_node('player') as node:
        node.create_publisher(String, '/a b', 1)

    assert '\n' not in str(caught.value)


def test_other_errors_keep_their_traceback() -> None:
    with pytest.raises(RuntimeError, match='ours'), ros_errors_in_one_line():
        raise RuntimeError('ours')


@pytest.mark.parametrize('domain', ['abc', '-1', '233', '1.5', '9' * 5000])
def test_domain_that_is_none_is_one_line(domain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ROS_DOMAIN_ID', domain)

    with pytest.raises(ConfigError, match='0 to 232') as caught, ros_errors_in_one_line():
        pass
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ('words', 'environment', 'text'),
    [
        (['run', '--params-file', 'bad.yaml'], {}, 'bad.yaml'),
        (['run', '--params-file', 'other.yaml'], {}, 'this node is /moe3d'),
        (['run', '--ros-args', '-p', 'depth.maxm:=3.0'], {}, 'depth.max_m'),
        (['run', '--ros-args', '-p', 'depth'], {}, '-p depth'),
        (['run'], {'ROS_DOMAIN_ID': 'abc'}, 'ROS_DOMAIN_ID'),
        (['run'], {'ROS_LOG_DIR': '/proc/none'}, '/proc/none'),
        (['run'], {'HOME': None, 'ROS_HOME': None, 'ROS_LOG_DIR': None}, 'ROS_LOG_DIR'),
    ],
)
def test_process_ends_with_one_sentence(
    words: list[str], environment: dict[str, str | None], text: str, tmp_path: Path
) -> None:
    (tmp_path / 'bad.yaml').write_text('moe3d:\n  ros__parameters: [1, 2\n')
    write(tmp_path / 'other.yaml', 'other', '{depth.max_m: 3.0}')

    given = {k: v for k, v in (os.environ | environment).items() if v is not None}
    ended = subprocess.run(
        [sys.executable, '-c', RUN, *words],
        cwd=tmp_path, env=given, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip

    assert ended.returncode in (1, 2), ended.stderr
    assert 'Traceback' not in ended.stderr
    assert text in ended.stderr
