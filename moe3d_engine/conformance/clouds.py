"""The rules of point clouds: a layout that can be read, and an honest `is_dense`."""

from __future__ import annotations

from collections.abc import Iterator

from moe3d_engine.conformance.findings import Findings
from moe3d_engine.intake.messages import Message
from moe3d_engine.intake.messages import stamp_ns
import numpy as np
from numpy.typing import NDArray

FLOAT32 = 7  # sensor_msgs/PointField
XYZ = ('x', 'y', 'z')


class CloudRules:
    """Checks the clouds of all topics."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    def check(self, topic: str, message: Message) -> None:
        """Check layout and values of a cloud."""
        for rule, text in _faults(message):
            self._findings.add(rule, topic, stamp_ns(message), text)


def _faults(message: Message) -> Iterator[tuple[str, str]]:
    """Yield rule and text of what is wrong with a cloud."""
    fields = {field.name: field for field in message.fields}
    missing = [name for name in XYZ if name not in fields]
    if missing:
        yield 'cloud_fields', f'there is no field {", ".join(missing)}.'
        return
    wrong = [
        name
        for name, field in fields.items()
        if field.datatype != FLOAT32 or field.count != 1 or field.offset + 4 > message.point_step
    ]
    if wrong:
        yield 'cloud_fields', f'the fields {", ".join(wrong)} are no single float32 in a point.'
        return
    rows, row_bytes = message.height, message.row_step
    if row_bytes < message.point_step * message.width or len(message.data) != rows * row_bytes:
        yield (
            'cloud_layout',
            f'{message.width}x{rows} points of {message.point_step} bytes, rows of {row_bytes} '
            f'bytes and {len(message.data)} bytes of data contradict each other.',
        )
        return
    points = _values(message, XYZ)
    finite = np.isfinite(points).all(axis=-1)
    if message.is_dense and not finite.all():
        yield (
            'cloud_dense',
            f'is_dense is set, but {np.count_nonzero(~finite)} points are not finite: Nav2 and '
            f'PCL do not look for them then.',
        )
    if np.isinf(points).any():
        yield 'cloud_inf', 'a coordinate is infinite; a point that is unknown is NaN.'
    if (np.isfinite(points).any(axis=-1) & ~finite).any():
        yield 'cloud_half', 'of some points only a part of the coordinates is finite.'
    if 'confidence' in fields:
        confidence = _values(message, ('confidence',))[..., 0][finite]
        if not ((confidence >= 0) & (confidence <= 1)).all():
            yield 'confidence_range', 'the confidence of a point is not within 0 and 1.'


def _values(message: Message, names: tuple[str, ...]) -> NDArray[np.float32]:
    """Return fields (height, width, n) of a cloud whose layout is right."""
    offsets = {field.name: field.offset for field in message.fields}
    order = '>' if message.is_bigendian else '<'
    layout = np.dtype(
        {
            'names': list(names),
            'formats': [f'{order}f4'] * len(names),
            'offsets': [offsets[name] for name in names],
            'itemsize': message.point_step,
        }
    )
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.row_step)
    points = np.ascontiguousarray(rows[:, : message.width * message.point_step]).view(layout)
    return np.stack([points[name].astype(np.float32) for name in names], axis=-1)
