"""Run a protocol: sequences in, a record of their figures and our rows of the table out."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import asdict
import logging

from moe3d_engine.errors import InputError
from moe3d_engine.errors import ShapeError
from moe3d_engine.lab.datasets.sequences.scenes import SceneFrame
from moe3d_engine.lab.datasets.sequences.scenes import Scenes
from moe3d_engine.lab.protocols.catalogue import Protocol
from moe3d_engine.lab.protocols.judges import judge_depth
from moe3d_engine.lab.protocols.judges import judge_points
from moe3d_engine.lab.protocols.judges import judge_trajectory
from moe3d_engine.lab.protocols.judges import judge_tsdf
from moe3d_engine.lab.protocols.judges import PUBLISHED_RESIZED
from moe3d_engine.lab.protocols.judges import RAW
from moe3d_engine.lab.protocols.judges import RAW_RESIZED
from moe3d_engine.lab.reports.record import EvaluationRecord
from moe3d_engine.lab.reports.record import Figures
from moe3d_engine.lab.reports.record import FrameRecord
from moe3d_engine.lab.reports.record import PUBLISHED
from moe3d_engine.session import Session

logger = logging.getLogger(__name__)

JUDGES = {
    'points': judge_points,
    'depth': judge_depth,
    'trajectory': judge_trajectory,
    'tsdf': judge_tsdf,
}
MISSING, UNREADABLE = 'missing', 'unreadable'
# Method of the record -> what our row is called.
ROW_NAMES = {
    RAW_RESIZED: 'all pixels, resized as the script does',
    RAW: 'all pixels, native resolution',
    PUBLISHED_RESIZED: 'flying points removed, resized as the script does',
    PUBLISHED: 'flying points removed, native resolution',
}


def run_protocol(
    session: Session,
    scenes: Scenes,
    protocol: Protocol,
    on_progress: Callable[[str], object] = lambda sequence: None,
) -> EvaluationRecord:
    """
    Judge a network under a protocol.

    Parameters
    ----------
    session : runs the network, which is told no cameras.
    scenes : the data set.
    protocol : what is judged and how.
    on_progress : called after each sequence with its name.

    Returns
    -------
    EvaluationRecord : of kind `dataset`. A frame of it is what the protocol counts as one: a
        sequence, or an image of a `depth` protocol of single images. What is missing or cannot
        be read is dropped by name; the rest is judged.

    Raises
    ------
    InputError
        If none of the protocol's sequences is there.
    """
    there = scenes.sequences()
    wanted = there if protocol.sequences is None else protocol.sequences
    if not set(wanted) & set(there):
        raise InputError(
            f'{scenes.root} has none of the sequences of {protocol.dataset} {protocol.name} '
            f'({", ".join(wanted)}). Expected there: {scenes.layout}'
        )
    records: list[FrameRecord] = []
    incomplete: dict[str, list[int]] = {}
    for sequence in wanted:
        if sequence not in there:
            logger.warning('%s is missing below %s.', sequence, scenes.root)
            records.append(FrameRecord(sequence, MISSING))
        else:
            records += _judge_sequence(session, scenes, protocol, sequence, incomplete)
        on_progress(sequence)
    return EvaluationRecord(
        'dataset', _configuration(session, protocol, incomplete), tuple(records)
    )


def rows_of(record: EvaluationRecord, label: str) -> dict[str, dict[str, float]]:
    """Return our rows: figures over the whole record by the name of the row."""
    summary = record.summary()
    return {
        f'{label}: {name}': summary[method]
        for method, name in ROW_NAMES.items()
        if method in summary
    }


def _judge_sequence(
    session: Session,
    scenes: Scenes,
    protocol: Protocol,
    sequence: str,
    incomplete: dict[str, list[int]],
) -> Iterator[FrameRecord]:
    """Yield the records of one sequence."""
    try:
        frames = protocol.frames.choose(scenes.frames(sequence))
    except (InputError, ShapeError) as error:
        yield _unreadable(sequence, error)
        return
    expected = protocol.frames.counts.get(sequence, len(frames))
    if len(frames) != expected:
        incomplete[sequence] = [len(frames), expected]
        logger.warning('%s gives %d frames, not %d.', sequence, len(frames), expected)
    parts: Mapping[str, list[SceneFrame]] = {sequence: frames}
    if protocol.unit == 'image':
        parts = {f'{sequence}/{frame.key}': [frame] for frame in frames}
    for key, part in parts.items():
        try:
            methods: dict[str, Figures] = JUDGES[protocol.task](session, scenes, protocol, part)
            yield FrameRecord(key, methods=methods)
        except (InputError, ShapeError) as error:
            yield _unreadable(key, error)


def _unreadable(key: str, error: Exception) -> FrameRecord:
    """Return the record of what could not be judged, and say why."""
    logger.warning('%s is left out: %s', key, error)
    return FrameRecord(key, UNREADABLE)


def _configuration(
    session: Session, protocol: Protocol, incomplete: dict[str, list[int]]
) -> dict[str, object]:
    """Return what was run on what."""
    spec = session.engine.spec
    rules = asdict(protocol)
    rules.pop('published')
    return {
        'protocol': rules,
        'incomplete_sequences': incomplete,
        'weights': spec.name,
        'backend': session.engine.name,
        'input_hw': list(spec.input_hw),
        'max_views': spec.max_views,
        'settings': asdict(session.config),
    }
