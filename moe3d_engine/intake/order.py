"""The order of a camera's stamps: each image is newer than the one before, or time has jumped."""

from __future__ import annotations

TIME_JUMP_NS = 1_000_000_000  # stamps that go back by more begin a new stream


def why_stale(stamp: int, newest: int) -> str | None:
    """Return what is wrong with a stamp; empty = it is newer; None = time has jumped back."""
    if stamp > newest:
        return ''
    back_ns = newest - stamp
    if stamp == 0 == back_ns:
        return (
            'its stamp is 0 like the last one: the driver does not stamp its images. Let it set '
            'header.stamp to the time of acquisition.'
        )
    if back_ns <= TIME_JUMP_NS:
        return (
            f'its stamp is {back_ns / 1e6:.1f} ms before the last one. Stamps of a camera must '
            f'increase; is there a second publisher on the topic?'
        )
    return None
