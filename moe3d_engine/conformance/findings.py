"""What a check of recorded messages has found: rule, topic, stamp and what is wrong."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

MAX_KEPT = 5  # of one rule on one topic; the others are counted


class Finding(NamedTuple):
    """
    A message that breaks a rule.

    Parameters
    ----------
    rule : its name, such as `covariance_zero`.
    topic : of the message.
    stamp_ns : of the message in ns; of a whole topic, that of its first message.
    text : what is there, what should be, and who would ignore or misread it.
    """

    rule: str
    topic: str
    stamp_ns: int
    text: str


class Findings:
    """
    Collects findings; of those that repeat themselves the first few.

    Attributes
    ----------
    kept : in the order in which they were found.
    counts : how often each rule was broken on each topic.
    """

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.counts: Counter[tuple[str, str]] = Counter()

    def add(self, rule: str, topic: str, stamp_ns: int, text: str) -> None:
        """Take a finding."""
        self.counts[rule, topic] += 1
        if self.counts[rule, topic] <= MAX_KEPT:
            self.kept.append(Finding(rule, topic, stamp_ns, text))
