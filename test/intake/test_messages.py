"""What is read from messages: names of frames and topics, and how often something is told."""

from __future__ import annotations

from moe3d_engine.intake.messages import clean_frame_id
from moe3d_engine.intake.messages import is_rectified_topic
from moe3d_engine.intake.messages import quoted
from moe3d_engine.intake.messages import WarnOnce
import pytest


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('/cam/image_rect', True),
        ('image_rect', True),
        ('/cam/image_rect_color', True),
        ('/cam/image_rect_color/compressed', True),
        ('/depth/image_rect_raw', True),
        ('/cam/image_raw', False),
        ('/cam/image_mono', False),
        ('/cam/image_color/compressed', False),
        ('/image_rect/image_raw', False),
        ('/cam/image_rectangle', False),
        ('/cam/my_image_rect', False),
    ],
)
def test_topic_is_rectified_by_the_names_of_image_proc(name: str, expected: bool) -> None:
    assert is_rectified_topic(name) is expected


@pytest.mark.parametrize(
    ('frame_id', 'clean', 'text'),
    [
        ('/camera_optical', 'camera_optical', "'camera_optical'"),
        ('//camera', 'camera', "'camera'"),
        ('', '', 'cannot be transformed'),
        ('/', '', 'cannot be transformed'),
    ],
)
def test_frame_that_tf2_refuses_is_mended_or_told(frame_id: str, clean: str, text: str) -> None:
    told: list[str] = []

    assert clean_frame_id(frame_id, told.append) == clean
    assert len(told) == 1
    assert text in told[0]
    assert 'parameter frame_id' in told[0]


def test_ordinary_frame_stays_as_it_is() -> None:
    assert (
        clean_frame_id('front/camera_optical_frame', pytest.fail) == 'front/camera_optical_frame'
    )


def test_text_is_told_once_and_many_texts_a_few_times() -> None:
    told: list[str] = []
    warn = WarnOnce(told.append)

    for index in range(1000):
        warn('always')
        warn(f'number {index}')

    assert told.count('always') == 1
    assert len(told) == 20


def test_quoted_text_is_one_short_line() -> None:
    assert quoted('rgb8') == "'rgb8'"
    assert quoted('a\nb') == r"'a\nb'"
    assert quoted('é' * 50) == f"'{'é' * 40}' and 10 more characters"
