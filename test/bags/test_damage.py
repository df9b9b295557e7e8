"""What is said of a damaged bag is one line, whatever its names hold."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.bags.damage import Damage
from moe3d_engine.bags.damage import MAX_LINE
import pytest


@pytest.mark.parametrize('topic', ['/cam\n\x076\x05', '/' + 10_000 * 'x'])
def test_name_that_holds_anything_gives_one_bounded_line(topic: str) -> None:
    damage = Damage()

    damage.add_message(Path('bag.mcap'), topic, 1_700_000_000_000_000_000, 'it is empty')

    assert len(damage.lines) == 1
    assert damage.lines[0].isprintable()
    assert len(damage.lines[0]) <= MAX_LINE
    assert damage.messages(topic) == 1
