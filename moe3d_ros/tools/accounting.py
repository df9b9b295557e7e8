"""What became of each image that was sent: published, dropped by the node, or lost on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence

from moe3d_engine.errors import Moe3dError

NOT_RECEIVED = 'not_received'  # the node has counted fewer images than were sent
NOT_RECORDED = 'not_recorded'  # the node says that it has published the image
ON_THE_WAY = (NOT_RECEIVED, NOT_RECORDED)
UNKNOWN = 'unknown'


def account_for(
    stamps: Sequence[int],
    published: Collection[int],
    dropped: Mapping[str, int],
    named: Mapping[int, Sequence[str]],
) -> list[str]:
    """
    Return what became of each image of a run.

    Parameters
    ----------
    stamps : of the images that were sent, in ns.
    published : stamps of the depth that was recorded.
    dropped : how many were not recorded, by reason, as counted.
    named : why the node says to have dropped an image, by its stamp.

    Returns
    -------
    A reason per image, empty where it was published. An image that no process names is
    `not_received` or `not_recorded`, or `not_received or not_recorded` in a run that lost images
    on both ways.

    Raises
    ------
    Moe3dError
        If the images do not add up to what was counted.
    """
    on_the_way = ' or '.join(name for name in ON_THE_WAY if name in dropped)
    left, reasons = set(published), {stamp: list(names) for stamp, names in named.items()}
    fates = []
    for stamp in stamps:
        if stamp in left:
            left.remove(stamp)
            fates.append('')
        else:
            fates.append(reasons[stamp].pop(0) if reasons.get(stamp) else on_the_way or UNKNOWN)
    found = Counter(fate for fate in fates if fate)
    counted = Counter({name: n for name, n in dropped.items() if name not in ON_THE_WAY})
    if on_the_way:
        counted[on_the_way] = sum(dropped[name] for name in ON_THE_WAY if name in dropped)
    if found != counted or left or any(reasons.values()):
        raise Moe3dError(
            f'Of {len(stamps)} images {len(published)} were recorded. Counted as dropped are '
            f'{dict(counted)}, but known by their stamps {dict(found)}; see node.log. Is there '
            'another camera on the topic?'
        )
    return fates
