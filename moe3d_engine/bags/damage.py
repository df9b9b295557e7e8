"""What of a bag cannot be read: said once in the log, and counted."""

from __future__ import annotations

from collections import Counter
import logging
from pathlib import Path
import re

logger = logging.getLogger(__name__)

UNPRINTABLE = re.compile('[\\x00-\\x1f\\x7f]+')
MAX_LINE = 1000  # characters


def seconds(time_ns: int) -> str:
    """Return a time of nanoseconds as digits of seconds, which lose nothing."""
    return f'{time_ns // 1_000_000_000}.{time_ns % 1_000_000_000:09d} s'


class Damage:
    """
    Collects what is wrong with the files of one bag, however often they are read.

    Attributes
    ----------
    lines : what was said, in the order in which it was found.
    lost_bytes : at the ends of files that stop before their time.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.lost_bytes = 0
        self._messages: set[tuple[str, int]] = set()
        self._counts: Counter[str] = Counter()

    def add(self, text: str) -> None:
        """Say a line, unless it has been said; names in a damaged file may hold anything."""
        text = UNPRINTABLE.sub('?', text)[:MAX_LINE]
        if text not in self.lines:
            self.lines.append(text)
            logger.warning('%s', text)

    def add_message(self, file: Path, topic: str, log_ns: int, why: object) -> None:
        """Count a message that is left out; the first one of each topic is said."""
        if (topic, log_ns) in self._messages:
            return
        self._messages.add((topic, log_ns))
        self._counts[topic] += 1
        if self._counts[topic] == 1:
            self.add(
                f'{file}: the message of {topic} at {seconds(log_ns)} is left out: '
                f'{str(why).rstrip(".")}.'
            )

    def messages(self, topic: str) -> int:
        """Return how many messages of a topic are in the bag but cannot be read."""
        return self._counts[topic]

    def say_totals(self) -> None:
        """Say how many messages are missing where it was more than the one that was named."""
        for topic, count in self._counts.items():
            if count > 1:
                self.add(f'{topic}: {count} messages cannot be read and are left out.')
