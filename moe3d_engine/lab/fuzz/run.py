"""Run cases for some time, hold them against the invariants, and say how to repeat a failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Sequence
import ctypes
from dataclasses import dataclass
from dataclasses import field
import gc
import os
from pathlib import Path
from random import Random
import threading
import time
import traceback
from typing import NamedTuple

from moe3d_engine.lab.fuzz.bags import play_bag
from moe3d_engine.lab.fuzz.invariants import check_text
from moe3d_engine.lab.fuzz.invariants import Tally
from moe3d_engine.lab.fuzz.streams import play_camera_info
from moe3d_engine.lab.fuzz.streams import play_compressed
from moe3d_engine.lab.fuzz.streams import play_messages
from moe3d_engine.lab.fuzz.watch import checked_logs
from moe3d_engine.lab.fuzz.watch import quiet_decoders
from moe3d_engine.lab.fuzz.watch import Watchdog

PLAYS: dict[str, Callable[[Random], Tally]] = {
    'messages': play_messages,
    'compressed': play_compressed,
    'camera_info': play_camera_info,
    'bags': play_bag,
}
MAX_INPUT_S = 2.0  # longer is a hang
MAX_GROWTH_MB = 64.0
MAX_FAILURES = 20  # different ones; then enough is known
_WARM_UP = 0.25  # share of the time after which memory must not grow
_REPEATS = 2  # of a case that was slow, because a busy machine is slow, too


class Footprint(NamedTuple):
    """What the process holds of the machine."""

    rss_mb: float
    threads: int  # of Python
    files: int  # descriptors


class Failure(NamedTuple):
    """A case that broke an invariant."""

    kind: str
    case: int
    text: str  # what happened, and where


@dataclass(slots=True)
class Report:
    """
    What a run has found.

    Parameters
    ----------
    seed : of all cases.
    seconds : how long it took.
    cases : how many of each kind.
    tallies : what became of the inputs, by kind.
    slowest : kind and number of the case with the slowest input.
    before, after : footprint once warmed up and at the end.
    failures : different ones.
    """

    seed: int
    seconds: float = 0.0
    cases: Counter[str] = field(default_factory=Counter)
    tallies: dict[str, Tally] = field(default_factory=dict)
    slowest: tuple[str, int] | None = None
    before: Footprint | None = None
    after: Footprint | None = None
    failures: list[Failure] = field(default_factory=list)

    @property
    def total(self) -> Tally:
        """What became of all inputs."""
        total = Tally()
        for tally in self.tallies.values():
            total.add(tally)
        return total

    def add(self, kind: str, case: int, tally: Tally) -> None:
        """Add a case."""
        self.cases[kind] += 1
        if tally.worst_s > self.total.worst_s:
            self.slowest = kind, case
        self.tallies.setdefault(kind, Tally()).add(tally)

    def how_to_repeat(self, kind: str, case: int) -> str:
        """Return the command that runs one case again."""
        return f'moe3d fuzz --seed {self.seed} --only {kind} --case {case}'


def fuzz(kinds: Sequence[str], seed: int, seconds: float) -> Report:
    """
    Run cases of some kinds in turn for some time; fewer where failures are many.

    Parameters
    ----------
    kinds : of `PLAYS`.
    seed : the same one gives the same cases.
    seconds : how long to go on.
    """
    report = Report(seed)
    start_s = time.monotonic()
    with checked_logs() as texts, quiet_decoders() as stderr, Watchdog(stderr) as watchdog:
        number = 0
        while report.seconds <= seconds and len(report.failures) < MAX_FAILURES:
            kind, case = kinds[number % len(kinds)], number // len(kinds)
            number += 1
            with watchdog.watching(report.how_to_repeat(kind, case)):
                _run(report, kind, case, texts)
            report.seconds = time.monotonic() - start_s
            if report.before is None and report.seconds > _WARM_UP * seconds:
                report.before = footprint()
        report.after = footprint()
    _check_growth(report)
    return report


def replay(kind: str, seed: int, case: int) -> Report:
    """Run one case again; footprints are not looked at."""
    report = Report(seed)
    with (
        checked_logs() as texts,
        quiet_decoders() as stderr,
        Watchdog(stderr) as watchdog,
        watchdog.watching(report.how_to_repeat(kind, case)),
    ):
        _run(report, kind, case, texts)
    return report


def footprint() -> Footprint:
    """Return what this process holds once it has given back what it can."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)  # of glibc
    if trim is not None:
        trim(0)
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    rss_mb = pages * os.sysconf('SC_PAGE_SIZE') / 1e6
    return Footprint(round(rss_mb, 1), threading.active_count(), len(os.listdir('/proc/self/fd')))


def _run(report: Report, kind: str, case: int, texts: list[str]) -> None:
    """Run a case and note what it has broken."""
    try:
        tally = _play(report.seed, kind, case)
        for _ in range(_REPEATS):
            if tally.worst_s > MAX_INPUT_S:
                tally = min(tally, _play(report.seed, kind, case), key=lambda t: t.worst_s)
        report.add(kind, case, tally)
        if tally.worst_s > MAX_INPUT_S:
            _note(report, Failure(kind, case, f'an input took {tally.worst_s:.1f} s'))
        for text in texts:
            check_text(text)
    except Exception as error:  # whatever it is, nobody has declared it
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f'{Path(frame.filename).name}:{frame.lineno}'
        text = f'{type(error).__name__} in {place}: {error!s:.300}'
        _note(report, Failure(kind, case, text))
    finally:
        texts.clear()


def _play(seed: int, kind: str, case: int) -> Tally:
    """Play a case; the same one every time."""
    tally = PLAYS[kind](Random(f'{seed}/{kind}/{case}'))
    tally.check()
    return tally


def _note(report: Report, failure: Failure) -> None:
    """Keep a failure unless one of its kind and place is known."""
    known = {(other.kind, other.text.partition(':')[0]) for other in report.failures}
    if (failure.kind, failure.text.partition(':')[0]) not in known:
        report.failures.append(failure)


def _check_growth(report: Report) -> None:
    """Note whether the process holds more than after the warm-up."""
    if report.before is None or report.after is None:
        return
    if report.after.rss_mb > report.before.rss_mb + MAX_GROWTH_MB:
        text = f'memory grew from {report.before.rss_mb} to {report.after.rss_mb} MB'
        report.failures.append(Failure('all', -1, text))
    if report.after[1:] != report.before[1:]:
        text = f'threads and files were {report.before[1:]}, are {report.after[1:]}'
        report.failures.append(Failure('all', -1, text))
