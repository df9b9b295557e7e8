"""What TF has told while somebody listened, and why a frame cannot be reached at a stamp."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass

from moe3d_ros.tools.consumers.facts import TF_BUFFER_S
from moe3d_ros.tools.consumers.facts import Trouble

MAX_FRAMES_NAMED = 8
LATE_S = 0.5  # what was still on its way when the listening ended


@dataclass(slots=True)
class Edge:
    """
    The transforms from a parent to a child.

    Parameters
    ----------
    parent : name of the frame.
    is_static : whether it holds at any time.
    first_ns, last_ns : least and greatest stamp.
    """

    parent: str
    is_static: bool
    first_ns: int
    last_ns: int


class TransformLog:
    """
    The tree of frames, with the stamps for which each transform is known.

    Attributes
    ----------
    lags_s : from the stamp of each transform that moves until it came.
    """

    def __init__(self) -> None:
        self.lags_s: list[float] = []
        self._edges: dict[str, Edge] = {}
        self._parents: dict[str, set[str]] = defaultdict(set)

    def add(
        self,
        parent: str,
        child: str,
        stamp_ns: int,
        *,
        is_static: bool = False,
        now_ns: int | None = None,
    ) -> None:
        """Take a transform; `now_ns` is when it came."""
        parent, child = parent.lstrip('/'), child.lstrip('/')
        self._parents[child].add(parent)
        edge = self._edges.get(child)
        if edge is None or edge.parent != parent:
            self._edges[child] = Edge(parent, is_static, stamp_ns, stamp_ns)
        else:
            edge.first_ns, edge.last_ns = min(edge.first_ns, stamp_ns), max(edge.last_ns, stamp_ns)
        if now_ns is not None and not is_static:
            self.lags_s.append((now_ns - stamp_ns) / 1e9)

    def second_parents(self) -> Iterator[Trouble]:
        """Yield the frames that two nodes place."""
        for child, parents in sorted(self._parents.items()):
            if len(parents) > 1:
                yield Trouble(
                    child,
                    f'below {" and ".join(sorted(parents))}',
                    'a frame has one parent; it jumps between the two.',
                    'Switch one of the senders off (tf.publish of moe3d, publish_tf of others).',
                )

    def problem(self, target: str, source: str, stamps_ns: Sequence[int]) -> str:
        """
        Say why messages cannot be transformed.

        Parameters
        ----------
        target, source : names of frames.
        stamps_ns : of the messages.

        Returns
        -------
        A sentence; empty where all is well.
        """
        if target.lstrip('/') == source.lstrip('/'):
            return ''
        chains = self._chain(target), self._chain(source)
        for frame, chain in zip((target, source), chains, strict=True):
            if len(chain) == 1 and not self._is_known(frame):
                return f'TF has no frame {frame}; it has {self._listing()}.'
        common = next((frame for frame in chains[0] if frame in chains[1]), None)
        if common is None:
            return (
                f'{source} is in the tree of {chains[1][-1]}, {target} in that of '
                f'{chains[0][-1]}: nobody sends what joins them.'
            )
        for chain in chains:
            for child in chain[: chain.index(common)]:
                text = self._times(child, stamps_ns)
                if text:
                    return text
        return ''

    def _times(self, child: str, stamps_ns: Sequence[int]) -> str:
        """Say why a transform is not known at any of the stamps; empty where it is."""
        edge = self._edges[child]
        if edge.is_static or not stamps_ns:
            return ''
        name = f'{edge.parent} -> {child}'
        late_s = (min(stamps_ns) - edge.last_ns) / 1e9
        if late_s > LATE_S:
            return (
                f'the newest {name} of TF is {late_s:.2f} s older than the messages: its sender '
                f'has stopped, is late or has another clock.'
            )
        early_s = (edge.first_ns - max(stamps_ns)) / 1e9
        if early_s > TF_BUFFER_S:
            return (
                f'the messages are {early_s:.0f} s older than {name} of TF, of which listeners '
                f'keep {TF_BUFFER_S:g} s: the clocks differ, or the messages come too late.'
            )
        return ''

    def _chain(self, frame: str) -> list[str]:
        """Return a frame and those above it, up to the root."""
        chain = [frame.lstrip('/')]
        while chain[-1] in self._edges:
            parent = self._edges[chain[-1]].parent
            if parent in chain:
                break
            chain.append(parent)
        return chain

    def _is_known(self, frame: str) -> bool:
        """Return whether somebody names a frame."""
        name = frame.lstrip('/')
        return name in self._edges or any(edge.parent == name for edge in self._edges.values())

    def _listing(self) -> str:
        """Return some frames that there are."""
        names = sorted({*self._edges, *(edge.parent for edge in self._edges.values())})
        more = ', ...' if len(names) > MAX_FRAMES_NAMED else ''
        return ', '.join(names[:MAX_FRAMES_NAMED]) + more if names else 'none at all'
