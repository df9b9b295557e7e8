"""The demo: a bag through the real node, three processes that talk over the middleware."""

from __future__ import annotations

from dataclasses import dataclass
import json
import logging
from pathlib import Path

from moe3d_engine.bags.reader import choose_camera
from moe3d_engine.cli.conformance import lines_of
from moe3d_engine.clouds import write_ply
from moe3d_engine.conformance.bag_check import check_bag
from moe3d_engine.geometry.points import unproject_depth
from moe3d_ros.tools.demo.bag import demo_bag_path
from moe3d_ros.tools.demo.bag import render_demo_bag
from moe3d_ros.tools.demo.contact_sheet import write_contact_sheet
from moe3d_ros.tools.demo.report import evaluate
from moe3d_ros.tools.demo.report import EvaluatedFrames
from moe3d_ros.tools.demo.report import MAX_EVALUATED_FRAMES
from moe3d_ros.tools.demo.walk import read_walk
from moe3d_ros.tools.demo.walk import walk_figures
from moe3d_ros.tools.node_process import bag_parameters
from moe3d_ros.tools.node_process import config_of
from moe3d_ros.tools.node_process import isolate
from moe3d_ros.tools.node_process import NodeRun
from moe3d_ros.tools.node_process import play_into_node
from moe3d_ros.tools.recorded import NODE
from moe3d_ros.tools.recorded import PublishedFrame
from moe3d_ros.tools.run_figures import machine
from moe3d_ros.tools.run_figures import node_figures
from moe3d_ros.tools.run_figures import stream_figures
from moe3d_ros.tools.run_figures import Summary
import numpy as np
from tqdm import tqdm

logger = logging.getLogger(__name__)

DEFAULT_FRAMES = 60


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """
    What the demo runs on.

    Parameters
    ----------
    out : folder of the results; results of an earlier run are replaced.
    bag : None = render one.
    rate : of the replay.
    frames : to render, or to play of the bag; None = 60, or all.
    image_topic, camera_info_topic, depth_topic : None = the likeliest.
    weights : name of shipped weights, or path of a card.
    """

    out: Path
    bag: Path | None = None
    rate: float = 1.0
    frames: int | None = None
    image_topic: str | None = None
    camera_info_topic: str | None = None
    depth_topic: str | None = None
    weights: str = 'moe3d-small'


def run_demo(options: DemoOptions) -> Summary:
    """
    Run the demo and write its results; return the content of summary.json.

    Raises
    ------
    Moe3dError
        If the bag or weights cannot be used, or the node fails; its log is in node.log.
    """
    isolate()
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    bag = options.bag or _rendered_bag(out, options.frames or DEFAULT_FRAMES)
    camera = choose_camera(
        bag, options.image_topic, options.camera_info_topic, options.depth_topic
    )
    parameters = bag_parameters(bag, camera, options.weights)
    run = NodeRun(out, bag, camera, parameters, options.rate, options.frames)
    sent, diagnostics, _ = play_into_node(run)
    output = run.output
    num_frames = min(int(diagnostics['published']), MAX_EVALUATED_FRAMES)
    with tqdm(total=num_frames, desc='evaluating', unit='frame', disable=None) as progress:
        evaluated, figures = evaluate(bag, camera, output, config_of(parameters), progress.update)
    walk = read_walk(output, bag, camera)
    summary = {
        **node_figures(sent.sent[camera.image], diagnostics),
        **stream_figures(output, camera.image, bag, sent, options.rate),
        **figures,
        'poses': walk_figures(walk),
        'conformance': lines_of(check_bag(output, NODE)),
        'replay_rate': options.rate,
        'bag': str(bag),
        'weights': diagnostics['weights'],
        'backend': diagnostics['backend'],
        'machine': machine(),
    }
    (out / 'summary.json').write_text(json.dumps(summary, indent=2) + '\n')
    write_contact_sheet(out / 'contact_sheet.png', evaluated, walk, summary)
    _write_cloud(out / 'cloud.ply', _middle(evaluated))
    return summary


def _rendered_bag(out: Path, num_frames: int) -> Path:
    """Return the demo's own bag, rendered unless an earlier run has done so."""
    path = demo_bag_path(out / 'input', num_frames)
    if not path.is_dir():
        logger.info('Rendering %d frames with ground truth (half a minute) ...', num_frames)
        path.parent.mkdir(parents=True, exist_ok=True)
        render_demo_bag(path, num_frames)
    return path


def _middle(evaluated: EvaluatedFrames) -> PublishedFrame:
    """Return the frame whose cloud is shown and written."""
    return evaluated.frames[len(evaluated.frames) // 2]


def _write_cloud(path: Path, frame: PublishedFrame) -> None:
    """Write the published points of one frame, in the camera's optical frame."""
    points = unproject_depth(frame.depth[None], frame.intrinsics[None])[0]
    valid = np.isfinite(points[..., 2])
    write_ply(path, points[valid], frame.image[valid])
