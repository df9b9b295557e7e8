"""Protocols of public evaluations as data: what is judged, how, and what others report for it."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from functools import cache
import json
from pathlib import Path
from typing import Any
from typing import TypeVar

from moe3d_engine.errors import ConfigError

FORMAT = 'moe3d-protocols-1'
Item = TypeVar('Item')


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """
    What others report for a method.

    Parameters
    ----------
    dataset : the data set.
    method : name of the method.
    protocol : name of the protocol of this data set, or words for another or an unknown one.
    figures : by the names of `reports.facts.FACTS`; those that the source lacks are absent.
    source : where the figures were read.
    cautions : what to know before comparing.
    """

    dataset: str
    method: str
    protocol: str
    figures: Mapping[str, float]
    source: str
    cautions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FrameRule:
    """
    Which frames of a sequence are used.

    Parameters
    ----------
    stride : every so many frames, from the first.
    at_most_half : the stride is at most half of the sequence's frames.
    most : at most so many of them.
    counts : how many frames that gives on the complete data set, by sequence.
    """

    stride: int = 1
    at_most_half: bool = False
    most: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)

    def choose(self, frames: Sequence[Item]) -> list[Item]:
        """Return the frames that are used."""
        stride = self.stride
        if self.at_most_half:
            stride = max(1, min(stride, len(frames) // 2))
        return list(frames[::stride][: self.most])


@dataclass(frozen=True, slots=True)
class Protocol:
    """
    One protocol. Fields that its task does not use are None.

    Parameters
    ----------
    dataset, name : identify it, such as `7scenes` and `pi3-sparse`.
    task : `points`, `depth`, `trajectory` or `tsdf`.
    reference : the public code that it follows.
    sequences : the sequences judged; None = all that are there.
    frames : which frames of them.
    alignment : `umeyama`, `scale_shift_cut3r`, or of depth `median`, `scale`, `scale_shift`.
    metrics : the figures of its table, by the names of `reports.facts.FACTS`.
    cautions : what to know before comparing.
    published : rows of other methods under this protocol.
    depth_kind : see `datasets.seven_scenes.SevenScenes`.
    size_hw : size at which point maps are judged.
    window_hw : of these, the central part from which figures are taken; None = all.
    min_depth_m, max_depth_m : true depth below or beyond is unknown; a depth task leaves out
        `max_depth_m` itself as well.
    clip_max_m : aligned predictions beyond are set to it.
    icp_m : reach of the refinement by ICP.
    unit : what a depth task aligns and reconstructs: `image` or `sequence`.
    voxel_m, threshold_m : of the fused map: its voxels, and how near a right point is.
    """

    dataset: str
    name: str
    task: str
    reference: str
    sequences: tuple[str, ...] | None
    frames: FrameRule
    alignment: str
    metrics: tuple[str, ...]
    cautions: tuple[str, ...]
    published: tuple[PublishedRow, ...] = ()
    depth_kind: str = 'registered'
    size_hw: tuple[int, int] | None = None
    window_hw: tuple[int, int] | None = None
    min_depth_m: float | None = None
    max_depth_m: float | None = None
    clip_max_m: float | None = None
    icp_m: float | None = None
    unit: str | None = None
    voxel_m: float | None = None
    threshold_m: float | None = None


@dataclass(frozen=True, slots=True)
class Protocols:
    """
    All protocols, and published rows that belong to none of them.

    Parameters
    ----------
    protocols : in the order of the file.
    elsewhere : rows under another or an unknown protocol; no row of ours compares with them.
    """

    protocols: tuple[Protocol, ...]
    elsewhere: tuple[PublishedRow, ...]

    def find(self, dataset: str, name: str) -> Protocol:
        """
        Return one protocol.

        Raises
        ------
        ConfigError
            If there is none of that name; the message lists those that there are.
        """
        names = [p.name for p in self.protocols if p.dataset == dataset]
        if not names:
            datasets = ', '.join(dict.fromkeys(p.dataset for p in self.protocols))
            raise ConfigError(f'There is no data set {dataset!r}; there are {datasets}.')
        for protocol in self.protocols:
            if (protocol.dataset, protocol.name) == (dataset, name):
                return protocol
        raise ConfigError(
            f'{dataset} has no protocol {name!r}; it has {", ".join(names)}. '
            'See moe3d evaluate --list-protocols.'
        )


@cache
def load_protocols() -> Protocols:
    """Return the protocols that the package brings."""
    content = json.loads(Path(__file__).with_name('protocols.json').read_text(encoding='utf-8'))
    assert content['format'] == FORMAT
    sources = content['sources']
    return Protocols(
        tuple(_protocol(item, sources) for item in content['protocols']),
        tuple(_row(item, item['dataset'], item['protocol'], sources)
              for item in content['elsewhere']),
    )  # fmt: skip


def _protocol(item: Mapping[str, Any], sources: Mapping[str, Any]) -> Protocol:
    """Return a protocol from its JSON."""
    values = {key: _as_tuple(value) for key, value in item.items()}
    values['frames'] = FrameRule(**item['frames'])
    values['published'] = tuple(
        _row(row, item['dataset'], item['name'], sources) for row in item['published']
    )
    return Protocol(**values)


def _row(
    item: Mapping[str, Any], dataset: str, protocol: str, sources: Mapping[str, Any]
) -> PublishedRow:
    """Return a published row from its JSON."""
    source = sources[item['source']]
    cautions = tuple(source['cautions'])
    return PublishedRow(
        dataset, item['method'], protocol, item['figures'], source['text'], cautions
    )


def _as_tuple(value: Any) -> Any:  # noqa: ANN401 (JSON is anything)
    """Return lists as tuples."""
    return tuple(value) if isinstance(value, list) else value
