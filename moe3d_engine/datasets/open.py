"""Open a data set by what the command line says."""

from __future__ import annotations

from typing import Protocol

from moe3d_engine.datasets.view_set import ViewSet


class ViewSets(Protocol):
    """A data set: sets of views by index, from 0."""

    def __len__(self) -> int:
        """Return the number of sets."""
        ...

    def __getitem__(self, index: int) -> ViewSet:
        """Return one set."""
        ...


def open_dataset(spec: str, image_hw: tuple[int, int], num_views: int = 4) -> ViewSets:
    """Return the rendered sets of a folder."""
    from moe3d_engine.synthetic.dataset import SyntheticDataset

    return SyntheticDataset(spec)
