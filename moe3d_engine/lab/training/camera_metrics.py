"""How good the poses of a network are on held-out windows."""

from __future__ import annotations

from collections.abc import Iterable

from moe3d_engine.geometry.cameras import cam_from_world_from_pose_encoding
from moe3d_engine.geometry.cameras import invert_rigid
from moe3d_engine.geometry.fit import to_network
from moe3d_engine.lab.datasets import ViewSet
from moe3d_engine.lab.metrics.poses import relative_pose_auc
from moe3d_engine.lab.metrics.poses import relative_pose_errors
from moe3d_engine.lab.runs.held_out import Predict
import numpy as np

NUM_VIEWS = 3


def camera_metrics(predict: Predict, sets: Iterable[ViewSet]) -> dict[str, float]:
    """
    Return medians over all pairs of views, and the mean AUC of the windows.

    `rotation_deg` and `direction_deg` are the errors of relative poses, `translation_share` is
    the error of the translation from the first view as a share of its length (1: no better than
    no motion), `pose_auc_30` the area under the accuracy curve up to 30 degrees.

    Parameters
    ----------
    predict : images (V, 3, H, W) in [0, 1], of unknown cameras, to outputs.
    sets : windows with known poses; the first three views of each are taken.
    """
    rotations, directions, shares, aucs = [], [], [], []
    for item in sets:
        true = invert_rigid(np.asarray(item.world_from_cam[:NUM_VIEWS], np.float64))
        true = true @ invert_rigid(true[:1])
        encoding = predict(to_network(item.rgb[:NUM_VIEWS]), None).pose_encoding
        found = cam_from_world_from_pose_encoding(encoding)
        errors = relative_pose_errors(found, true)
        rotations.append(errors.rotation_deg)
        directions.append(errors.translation_deg)
        off_m = np.linalg.norm(found[1:, :3, 3] - true[1:, :3, 3], axis=1)
        shares.append(off_m / np.linalg.norm(true[1:, :3, 3], axis=1))
        aucs.append(relative_pose_auc(found, true))
    return {
        'rotation_deg': float(np.median(rotations)),
        'direction_deg': float(np.median(directions)),
        'translation_share': float(np.median(shares)),
        'pose_auc_30': float(np.mean(aucs)),
    }
