"""Images of several cameras to moments: which of them belong together, and which to none."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic
from typing import NamedTuple
from typing import TypeVar

from moe3d_engine.errors import ConfigError
from moe3d_engine.intake.drops import DropReason
from moe3d_engine.intake.order import why_stale

MAX_WAITING = 64  # images of a camera; more is a publisher gone wild
TOLERANCE_S = 0.005  # of stamps: cameras on one trigger differ by less, free running ones by more
SILENT_S = 0.5

Item = TypeVar('Item')

_TOO_MANY = f'more than {MAX_WAITING} of its images waited for the other cameras.'


@dataclass(frozen=True, slots=True)
class MomentConfig:
    """
    When images of several cameras are of one moment.

    Parameters
    ----------
    tolerance_s : by how much their stamps may differ, from the first to the last.
    silent_s : how long a camera may be late; then the others go on without it.

    Raises
    ------
    ConfigError
        If a value is out of its range.
    """

    tolerance_s: float = TOLERANCE_S
    silent_s: float = SILENT_S

    def __post_init__(self) -> None:
        """Check the values once."""
        if not 0.0 <= self.tolerance_s < 1.0:
            raise ConfigError(
                f'rig.tolerance_s is a number of seconds from 0 to 1; got {self.tolerance_s}.'
            )
        if not 0.0 < self.silent_s < float('inf'):
            raise ConfigError(f'rig.silent_s is a number of seconds above 0; got {self.silent_s}.')


class Arrived(NamedTuple, Generic[Item]):
    """An image of a camera."""

    camera: str
    stamp_ns: int
    item: Item


class Unused(NamedTuple, Generic[Item]):
    """An image that belongs to no moment, and why; the text is empty where nothing is wrong."""

    image: Arrived[Item]
    reason: DropReason
    text: str


class Sorted(NamedTuple, Generic[Item]):
    """
    What has become of images.

    Parameters
    ----------
    moment : one image per camera, in the order of the cameras; empty = no moment is complete.
    unused : images that will belong to none.
    """

    moment: tuple[Arrived[Item], ...]
    unused: tuple[Unused[Item], ...]


class _Camera(Generic[Item]):
    """What is known of a camera: images that wait, oldest first, and when it was heard."""

    def __init__(self) -> None:
        self.waiting: OrderedDict[int, tuple[Item, int]] = OrderedDict()
        self.newest_ns: int | None = None  # stamp
        self.unanswered_ns: int | None = None  # arrival of another's first image since its last
        self.missed_ns: int | None = None  # arrival of the first moment without it since its last


class Moments(Generic[Item]):
    """
    Finds the images of several cameras that were taken together, whichever comes first.

    The first camera that is heard leads: each of its images is a moment, to which the nearest
    image of each other camera within the tolerance belongs. It waits for the cameras that are in
    step, until their next image shows that theirs was lost. A camera that lets others wait for
    `silent_s`, or has belonged to no moment for so long, is not waited for; with its first image
    that belongs to a moment it is in step again. The latest wins: what is older than a complete
    moment is used no more. Every image comes out exactly once, in a moment or unused. One thread
    uses it.

    Parameters
    ----------
    cameras : names, the one that should lead first.
    config : tolerance and patience.

    Raises
    ------
    ConfigError
        If there is no camera, or one is there twice.
    """

    def __init__(self, cameras: Sequence[str], config: MomentConfig) -> None:
        if not cameras or len(set(cameras)) < len(cameras):
            raise ConfigError(
                f'A rig has different cameras, one at least; got {", ".join(cameras) or "none"}.'
            )
        self._tolerance_ns = round(config.tolerance_s * 1e9)
        self._silent_ns = round(config.silent_s * 1e9)
        self._cameras: dict[str, _Camera[Item]] = {camera: _Camera() for camera in cameras}
        self._last_ns: int | None = None  # stamp of the last moment's leader
        self._unused: list[Unused[Item]] = []

    def silent(self, now_ns: int) -> tuple[str, ...]:
        """Return the cameras of which nothing has come for long while others have sent."""
        return tuple(
            name
            for name, camera in self._cameras.items()
            if self._is_late(camera.unanswered_ns, now_ns)
        )

    def out_of_step(self, now_ns: int) -> tuple[str, ...]:
        """Return the cameras that are heard, but whose stamps fit those of no moment."""
        silent = self.silent(now_ns)
        return tuple(
            name
            for name, camera in self._cameras.items()
            if name not in silent and self._is_out_of_step(camera, now_ns)
        )

    def add(self, camera: str, stamp_ns: int, item: Item, now_ns: int) -> Sorted[Item]:
        """
        Take an image.

        Parameters
        ----------
        camera : one of the names.
        stamp_ns : of the image.
        item : comes out again.
        now_ns : when the image arrived, on a clock that never goes back.
        """
        image = Arrived(camera, stamp_ns, item)
        known = self._cameras[camera]
        stale = '' if known.newest_ns is None else why_stale(stamp_ns, known.newest_ns)
        if stale is None:
            self._begin_anew()
        for other in self._cameras.values():
            if other is known:
                other.unanswered_ns = None
            elif other.unanswered_ns is None:
                other.unanswered_ns = now_ns
        if stale:
            self._unused.append(Unused(image, DropReason.STALE_STAMP, stale))
            return self.expire(now_ns)
        known.newest_ns = stamp_ns
        if self._last_ns is not None and abs(stamp_ns - self._last_ns) <= self._tolerance_ns:
            known.missed_ns = None
        if self._is_over(stamp_ns):
            text = self._why_alone(camera, now_ns)
            self._unused.append(Unused(image, DropReason.UNMATCHED, text))
            return self.expire(now_ns)
        known.waiting[stamp_ns] = item, now_ns
        if len(known.waiting) > MAX_WAITING:
            self._let_go(camera, next(iter(known.waiting)), DropReason.QUEUE_FULL, _TOO_MANY)
        return self.expire(now_ns)

    def expire(self, now_ns: int) -> Sorted[Item]:
        """Return what time alone decides: a camera has become silent, an image too old."""
        moment = self._newest_moment(now_ns)
        for name, camera in self._cameras.items():
            for stamp, (_, arrived_ns) in list(camera.waiting.items()):
                if self._is_late(arrived_ns, now_ns):
                    text = self._why_alone(name, now_ns)
                    self._let_go(name, stamp, DropReason.UNMATCHED, text)
        unused, self._unused = tuple(self._unused), []
        return Sorted(moment, unused)

    def clear(self) -> Sorted[Item]:
        """Forget everything, so that any stamp may follow; return the images that waited."""
        self._begin_anew()
        unused, self._unused = tuple(self._unused), []
        for camera in self._cameras.values():
            camera.unanswered_ns = camera.missed_ns = None
        return Sorted((), unused)

    def _begin_anew(self) -> None:
        """Let go what waits: time has jumped back."""
        for name, camera in self._cameras.items():
            for stamp in list(camera.waiting):
                self._let_go(name, stamp, DropReason.UNMATCHED, '')
            camera.newest_ns = camera.missed_ns = None
        self._last_ns = None

    def _newest_moment(self, now_ns: int) -> tuple[Arrived[Item], ...]:
        """Take out the newest moment that waits for nobody any more; empty = there is none."""
        silent = self.silent(now_ns)
        leader = next((name for name in self._cameras if name not in silent), None)
        if leader is None:
            return ()
        awaited = [
            name
            for name, camera in self._cameras.items()
            if name not in (leader, *silent) and not self._is_out_of_step(camera, now_ns)
        ]
        for stamp, (_, arrived_ns) in reversed(self._cameras[leader].waiting.items()):
            if self._is_over(stamp):
                break
            found = self._around(leader, stamp)
            absent = [n for n in awaited if n not in found and not self._has_passed(n, stamp)]
            if self._is_late(arrived_ns, now_ns):  # they come, but never with this one
                for name in absent:
                    self._cameras[name].missed_ns = arrived_ns
                absent = []
            if not absent:
                return self._take(leader, found, now_ns)
        return ()

    def _around(self, leader: str, stamp: int) -> dict[str, int]:
        """Return the stamp of each camera's image that belongs to one of the leader."""
        nearest = {
            name: min(camera.waiting, key=lambda other: abs(other - stamp))
            for name, camera in self._cameras.items()
            if camera.waiting and name != leader
        }
        first = last = stamp
        found = {leader: stamp}
        for name, other in sorted(nearest.items(), key=lambda pair: abs(pair[1] - stamp)):
            if max(last, other) - min(first, other) <= self._tolerance_ns:
                first, last = min(first, other), max(last, other)
                found[name] = other
        return found

    def _has_passed(self, name: str, stamp: int) -> bool:
        """Return whether a camera has no image of a moment: it is further already."""
        newest_ns = self._cameras[name].newest_ns
        return newest_ns is not None and newest_ns > stamp + self._tolerance_ns

    def _take(self, leader: str, found: dict[str, int], now_ns: int) -> tuple[Arrived[Item], ...]:
        """Take out the images of a moment, and let go what is older."""
        moment = []
        for name, camera in self._cameras.items():
            if name not in found:
                camera.missed_ns = now_ns if camera.missed_ns is None else camera.missed_ns
            else:
                camera.missed_ns = camera.unanswered_ns = None
                item, _ = camera.waiting.pop(found[name])
                moment.append(Arrived(name, found[name], item))
        self._last_ns = found[leader]
        for name, camera in self._cameras.items():
            for stamp in [waiting for waiting in camera.waiting if waiting <= self._last_ns]:
                text = '' if name == leader else self._why_alone(name, now_ns)
                self._let_go(name, stamp, DropReason.UNMATCHED, text)
        return tuple(moment)

    def _let_go(self, name: str, stamp: int, reason: DropReason, text: str) -> None:
        """Let an image wait no longer."""
        item, _ = self._cameras[name].waiting.pop(stamp)
        self._unused.append(Unused(Arrived(name, stamp, item), reason, text))

    def _is_over(self, stamp: int) -> bool:
        """Return whether the moment of a stamp is over: not where clocks differ by far more."""
        return self._last_ns is not None and bool(why_stale(stamp, self._last_ns))

    def _is_late(self, then_ns: int | None, now_ns: int) -> bool:
        """Return whether something was longer ago than a camera may be late."""
        return then_ns is not None and now_ns - then_ns > self._silent_ns

    def _is_out_of_step(self, camera: _Camera[Item], now_ns: int) -> bool:
        """Return whether moments have done without a camera for long."""
        return self._is_late(camera.missed_ns, now_ns)

    def _why_alone(self, name: str, now_ns: int) -> str:
        """Say why an image belongs to no moment; empty where its camera is in step otherwise."""
        if not self._is_out_of_step(self._cameras[name], now_ns):
            return ''
        others = [
            f'{other} {(camera.newest_ns - (self._cameras[name].newest_ns or 0)) / 1e6:+.1f} ms'
            for other, camera in self._cameras.items()
            if other != name and camera.newest_ns is not None
        ]
        return (
            f'no image of {name} has been within {self._tolerance_ns / 1e6:g} ms of the others '
            f'for {self._silent_ns / 1e9:g} s; newest stamps beside its own: '
            f'{", ".join(others) or "none"}. Trigger the cameras together and stamp them by one '
            f'clock, or raise rig.tolerance_s.'
        )
