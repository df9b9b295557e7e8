"""Whatever comes in, only declared refusals come out; and the fuzzer finds what breaks that."""

from __future__ import annotations

import json
from random import Random

from moe3d_engine.intake import encodings
from moe3d_engine.intake.drops import Drop
from moe3d_engine.intake.drops import DropReason
from moe3d_engine.lab.commands.fuzz import KINDS
from moe3d_engine.lab.fuzz import run
from moe3d_engine.lab.fuzz.invariants import Tally
from moe3d_engine.lab.fuzz.run import fuzz
from moe3d_engine.lab.fuzz.run import PLAYS
from moe3d_engine.lab.fuzz.run import replay
from moe3d_engine.session import Session
from moe3d_ros.cli import main
import numpy as np
import pytest

SECONDS = 20.0


def test_twenty_seconds_of_spoilt_input_break_nothing() -> None:
    report = fuzz(KINDS, 0, SECONDS)

    assert not report.failures
    assert set(report.cases) == set(KINDS) == set(PLAYS)
    assert report.total.published > 0
    assert report.total.read > 0
    assert report.total.refused > 0
    assert {'bad_image', 'bad_camera_info'} <= set(report.total.dropped)


@pytest.mark.parametrize('kind', KINDS)
def test_seed_and_number_give_the_same_case_again(kind: str) -> None:
    def outcome() -> list[object]:
        tally = replay(kind, 5, 3).total
        return [tally.inputs, tally.published, tally.read, tally.refused, tally.dropped]

    assert outcome() == outcome()


def test_undeclared_exception_is_found_and_named_with_its_case(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(self: Session, *frame: object) -> Drop:
        raise ZeroDivisionError('nobody has foreseen it')

    monkeypatch.setattr(Session, 'push_frame', fail)

    code = main(['fuzz', '--only', 'camera_info', '--seed', '7', '--case', '4', '--json'])

    printed, said = capsys.readouterr()
    assert code == 1
    (failure,) = json.loads(printed)['failures']
    assert 'ZeroDivisionError' in failure['text']
    assert 'moe3d fuzz --seed 7 --only camera_info --case 4' in said


def test_good_frame_that_does_not_come_out_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    drop = Drop(DropReason.BUSY, 0, 'no time')
    monkeypatch.setattr(Session, 'push_frame', lambda self, camera, image, info: drop)

    (failure,) = replay('messages', 0, 0).failures

    assert 'a good frame is dropped (busy)' in failure.text


def test_swapped_colours_of_good_frames_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    swapped = encodings.COLOURS['bgr8']
    monkeypatch.setitem(encodings.COLOURS, 'rgb8', swapped)

    (failure,) = replay('messages', 0, 0).failures

    assert 'the depth of a good frame is off' in failure.text


def test_input_that_takes_long_is_a_failure_only_if_it_does_so_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times_s = [9.0, 0.1, 9.0, 9.0, 9.0]

    def play(rng: Random) -> Tally:
        return Tally(inputs=1, published=1, worst_s=times_s.pop(0))

    monkeypatch.setitem(run.PLAYS, 'messages', play)

    assert not replay('messages', 0, 0).failures
    (failure,) = replay('messages', 0, 0).failures
    assert failure.text == 'an input took 9.0 s'


def test_input_that_is_not_accounted_for_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(run.PLAYS, 'bags', lambda rng: Tally(inputs=3, published=1, read=1))

    (failure,) = replay('bags', 0, 0).failures

    assert 'of 3 inputs 2 are accounted for' in failure.text


def test_memory_that_grows_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []

    def play(rng: Random) -> Tally:
        kept.append(np.ones(1 << 17))  # 1 MB
        return Tally(inputs=1, published=1)

    monkeypatch.setitem(run.PLAYS, 'messages', play)
    monkeypatch.setattr(run, 'MAX_GROWTH_MB', 4.0)

    report = fuzz(['messages'], 0, 0.5)

    assert any('memory grew' in failure.text for failure in report.failures)
