"""What holds of every message with a header: frames that tf2 takes, stamps that increase."""

from __future__ import annotations

from moe3d_engine.conformance.findings import Findings
from moe3d_engine.intake.messages import Message
from moe3d_engine.intake.messages import quoted
from moe3d_engine.intake.messages import stamp_ns


class HeaderRules:
    """Checks the headers of all topics."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._last_ns: dict[str, int] = {}

    def check(self, topic: str, message: Message) -> None:
        """Check a message that has a header, and the child's frame where it has one."""
        stamp = stamp_ns(message)
        for name in ('frame_id', 'child_frame_id'):
            frame = getattr(message.header if name == 'frame_id' else message, name, None)
            if frame is not None:
                self.check_frame(topic, stamp, name, frame)
        if stamp == 0:
            text = 'the stamp is 0: rtabmap ignores the message, tf2 takes it for "the latest".'
            self._findings.add('stamp_zero', topic, stamp, text)
        last = self._last_ns.get(topic)
        if last is not None and stamp <= last:
            text = (
                f'the stamp is {(last - stamp) / 1e6:.3f} ms before the last one, or the same: '
                f'robot_localization and rtabmap drop what is not newer.'
            )
            self._findings.add('stamp_order', topic, stamp, text)
        self._last_ns[topic] = stamp

    def check_frame(self, topic: str, stamp: int, name: str, frame: str) -> None:
        """Check the name of a frame."""
        if not frame:
            text = f'{name} is empty: nothing can be transformed.'
            self._findings.add('frame_empty', topic, stamp, text)
        elif frame.startswith('/'):
            text = f'{name} {quoted(frame)} begins with a slash, which tf2 refuses.'
            self._findings.add('frame_slash', topic, stamp, text)
