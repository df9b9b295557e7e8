"""Curves of a training run."""

from __future__ import annotations

import json
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

FIGURES = {
    'losses': ('total', 'nll', 'expert', 'gradient', 'side', 'camera', 'match'),
    'depth, held out': ('abs_rel', 'abs_rel_median', 'delta_1', 'ece'),
    'boundaries, held out': ('flying_gt', 'flying_pred', 'collapsed', 'entropy'),
    'cameras, held out': ('rotation_deg', 'translation_share', 'pose_auc_30'),
}


def plot_metrics(run: Path) -> None:
    """
    Draw `metrics.jsonl` of a run folder into its `curves.png`.

    A run that was interrupted between a line and a checkpoint has lines twice; the last counts.
    """
    lines = map(json.loads, (run / 'metrics.jsonl').read_text().splitlines())
    rows = {line['step']: line for line in lines}
    figure = Figure(figsize=(20, 4.5), layout='constrained')
    for (title, names), axes in zip(
        FIGURES.items(), figure.subplots(1, len(FIGURES)), strict=True
    ):
        for name in names:
            steps = [step for step in sorted(rows) if name in rows[step]]
            if steps:
                axes.plot(steps, [rows[step][name] for step in steps], marker='.', label=name)
        axes.set(title=title, xlabel='step')
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    FigureCanvasAgg(figure).print_png(run / 'curves.png')  # type: ignore[no-untyped-call]
