"""`moe3d reconstruct`: images or a bag to depth maps, poses and a cloud, without a ROS graph."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

from moe3d_engine.cli.output import add_force
from moe3d_engine.cli.output import check_free
from moe3d_engine.cli.output import print_summary
from moe3d_engine.cli.output import written_whole
from moe3d_engine.errors import ConfigError

if TYPE_CHECKING:
    from moe3d_engine.sequences.sequence import SequenceResult
    from moe3d_engine.types import Float64Array
    from moe3d_engine.types import View

NAME = 'reconstruct'
HELP = 'reconstruct images, a folder or a bag to .npz (depth maps, poses) or .ply (cloud)'

OUTPUT_SUFFIXES = ('.npz', '.ply')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add inputs, the camera, the network and the output."""
    parser.add_argument(
        'inputs', nargs='+', type=Path, metavar='IMAGE|FOLDER|BAG',
        help='images of one size, rectified ones if they are files; the first gives the world '
        'frame',
    )  # fmt: skip
    parser.add_argument(
        '--out', required=True, type=Path, metavar='R.npz|R.ply',
        help='.npz: depth_raw, depth, boundary_confidence (V, H, W) on the pixels of the images, '
        'cam_from_world (V, 4, 4), pose_sources (V,), intrinsics (V, 3, 3), depth_scale; .ply: '
        "one coloured cloud in the first view's frame",
    )  # fmt: skip
    parser.add_argument(
        '--intrinsics', metavar='fx,fy,cx,cy',
        help='of all images, in pixels, pixel centres at integers; without it a bag gives its '
        'camera_info and the network estimates the rest',
    )  # fmt: skip
    parser.add_argument('--topic', help='image topic of a bag with several cameras')
    parser.add_argument(
        '--every', type=int, default=1, metavar='N', help='use each N-th image of a bag or folder'
    )
    parser.add_argument('--backend', default='auto', help='auto, openvino, torch or tensorrt')
    parser.add_argument(
        '--weights', default='moe3d-small', help='shipped weights, or the path of a card (.json)'
    )
    parser.add_argument(
        '--max-views', type=int, metavar='N',
        help="views that the network sees at once (default: the backend's most); more images are "
        'reconstructed in windows that share the first view',
    )  # fmt: skip
    parser.add_argument(
        '--no-rejection', action='store_true', help='keep flying points in depth and cloud'
    )
    add_force(parser)


def execute(args: argparse.Namespace) -> int:
    """Read, reconstruct, write."""
    _check_arguments(args)
    views = read_views(args.inputs, parse_intrinsics(args.intrinsics), args.topic, args.every)

    from moe3d_engine.backends.open import open_backend
    from moe3d_engine.network import Engine
    from moe3d_engine.policy import Thresholds
    from moe3d_engine.sequences.sequence import reconstruct_sequence
    from moe3d_engine.session import Session
    from moe3d_engine.session import SessionConfig
    import numpy as np
    from tqdm import tqdm

    keep_all = Thresholds(min_agreement=0.0, min_confidence=0.0)
    thresholds = keep_all if args.no_rejection else Thresholds()
    engine = Engine(open_backend(args.backend, args.weights))
    session = Session(engine, SessionConfig(thresholds=thresholds))
    max_views = args.max_views or engine.spec.max_views
    try:
        with tqdm(total=len(views), unit='view', disable=None) as progress:
            result = reconstruct_sequence(session, views, max_views, progress.update)
    finally:
        engine.close()
    write_result(args.out, result)
    seen = np.isfinite(result.depth_raw)
    summary = {
        'out': str(args.out),
        'views': len(views),
        'image_hw': list(result.depth.shape[1:]),
        'backend': engine.name,
        'weights': engine.spec.name,
        'depth_scale': result.scale.unit,
        'median_depth': round(float(np.median(result.depth_raw[seen])), 4),
        'kept_share': round(np.count_nonzero(np.isfinite(result.depth)) / seen.sum(), 4),
        'points': len(result.points_world),
        'posed_by_matches': result.pose_sources.count('matches'),
        'posed_by_tracking': result.pose_sources.count('tracking'),
        'posed_by_network': [i for i, by in enumerate(result.pose_sources) if by == 'network'],
        'not_placed': [i for i, by in enumerate(result.pose_sources) if by == 'none'],
    }
    print_summary(summary, args.json)
    return 0


def _check_arguments(args: argparse.Namespace) -> None:
    """Fail before any work is done."""
    if args.out.suffix not in OUTPUT_SUFFIXES:
        raise ConfigError(f'--out ends in {" or ".join(OUTPUT_SUFFIXES)}; got {args.out}.')
    check_free(args.out, args.force, is_own_result)
    for option in ('every', 'max_views'):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise ConfigError(f'--{option.replace("_", "-")} is at least 1; got {value}.')


def parse_intrinsics(text: str | None) -> Float64Array | None:
    """
    Return the (3, 3) matrix of 'fx,fy,cx,cy'.

    Raises
    ------
    ConfigError
        If the text is not four finite numbers with focal lengths above 0.
    """
    if text is None:
        return None
    import numpy as np

    try:
        focal_x, focal_y, center_x, center_y = (float(number) for number in text.split(','))
    except ValueError:
        raise ConfigError(f'--intrinsics are four numbers fx,fy,cx,cy; got {text!r}.') from None
    matrix = np.array([[focal_x, 0.0, center_x], [0.0, focal_y, center_y], [0.0, 0.0, 1.0]])
    if not np.isfinite(matrix).all() or min(focal_x, focal_y) <= 0.0:
        raise ConfigError(f'--intrinsics are finite, with focal lengths above 0; got {text!r}.')
    return matrix


def read_views(
    inputs: list[Path], intrinsics: Float64Array | None, topic: str | None, every: int
) -> list[View]:
    """
    Return the views of images, folders and bags, in the order given.

    Raises
    ------
    InputError
        If an input is missing, empty or cannot be decoded.
    """
    from moe3d_engine.bags.files import is_bag
    from moe3d_engine.bags.views import read_bag_views
    from moe3d_engine.intake.files import list_images
    from moe3d_engine.intake.files import read_image_view

    views: list[View] = []
    for path in inputs:
        if is_bag(path):
            views += read_bag_views(path, topic, intrinsics, every)
        else:
            files = list_images(path)[::every] if path.is_dir() else [path]
            views += [read_image_view(file, intrinsics) for file in files]
    return views


def is_own_result(path: Path) -> bool:
    """Return whether a file is the result of an earlier reconstruction."""
    from moe3d_engine.clouds import is_own_ply
    import numpy as np

    if path.suffix == '.ply':
        return is_own_ply(path)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {'depth_raw', 'cam_from_world', 'depth_scale'} <= set(arrays.files)
    except (OSError, ValueError, BadZipFile):
        return False


def write_result(path: Path, result: SequenceResult) -> None:
    """Write the arrays (.npz) or the cloud (.ply), whole or not at all; folders are made."""
    import numpy as np

    with written_whole(path) as beside:
        if path.suffix == '.ply':
            from moe3d_engine.clouds import write_ply

            write_ply(beside, result.points_world, result.colors)
            return
        np.savez(
            beside,
            depth_raw=result.depth_raw,
            depth=result.depth,
            boundary_confidence=result.boundary_confidence,
            cam_from_world=result.cam_from_world,
            pose_sources=np.array(result.pose_sources),
            intrinsics=result.intrinsics,
            depth_scale=np.array(result.scale.unit),
        )
