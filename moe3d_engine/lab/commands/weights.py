"""`moe3d weights`: VGGT's own weights, fetched if asked, checked, and turned into ours."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from moe3d_engine.cli.output import add_force
from moe3d_engine.cli.output import print_summary
from moe3d_engine.errors import ConfigError
from moe3d_engine.lab.commands.export import check_weights_free

if TYPE_CHECKING:
    from moe3d_engine.model import Moe3dNet

NAME = 'weights'
HELP = "check VGGT's own weights and convert them, or fetch them from an address of yours"

LICENCE_NOTE = (
    'facebook/VGGT-1B is for non-commercial use only; facebook/VGGT-1B-Commercial is under '
    "Meta's agreement, which you apply for. This package grants neither."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the file, where it comes from and what it becomes."""
    parser.add_argument(
        'file', type=Path, metavar='FILE',
        help="VGGT's weights, .safetensors or .pt (no code in it is run); with --url its new name",
    )  # fmt: skip
    parser.add_argument(
        '--url', help='fetch FILE from this http, https or file address; continues a broken '
        'download and needs --sha256'
    )  # fmt: skip
    parser.add_argument('--sha256', metavar='HEX', help='what FILE must hash to')
    parser.add_argument(
        '--out', type=Path, metavar='FOLDER',
        help='convert: write weights, ONNX graphs and card there; without it FILE is only checked',
    )  # fmt: skip
    add_force(parser)
    parser.add_argument('--licence', help='of the weights, for the card; needed with --out')
    parser.add_argument('--name', default='vggt-1b', help='of the weights and their files')
    parser.add_argument(
        '--input-hw', type=int, nargs=2, default=[392, 518], metavar=('H', 'W'),
        help='size of the images that the network sees, in pixels (default: 392 518, for 4:3)',
    )  # fmt: skip
    parser.add_argument(
        '--max-views', type=int, default=4, help='most views of one window (default: 4)'
    )
    parser.add_argument(
        '--network', default='vggt-1b', metavar='PRESET',
        help='the configuration that FILE must fit (default: vggt-1b)',
    )  # fmt: skip


def execute(args: argparse.Namespace) -> int:
    """Fetch, check, convert: each as far as it was asked for."""
    if args.out is not None and not args.licence:
        raise ConfigError(f'--out needs --licence, because the card states it: {LICENCE_NOTE}')
    if args.out is not None:
        check_weights_free(args.out, args.name, args.force)
    if args.url is not None:
        fetch(args.url, args.file, args.sha256)

    from moe3d_engine.model import preset
    from moe3d_engine.model.vggt_weights import load_vggt

    config = replace(preset(args.network), num_experts=1)
    network, contents = load_vggt(args.file, config, args.sha256)
    summary: dict[str, object] = {
        'file': str(args.file),
        'sha256': contents.sha256,
        'fits': args.network,
        'tensors': f'{contents.tensors}, of which {contents.ignored} (point and track head) are '
        'not used',
        'parameters used': contents.parameters,
        'number type': contents.dtype,
        'licence': args.licence or LICENCE_NOTE,
    }
    if args.out is not None:
        summary['card'] = str(convert(network, args, contents.sha256))
    print_summary(summary, args.json)
    return 0


def fetch(url: str, path: Path, sha256: str | None) -> None:
    """Download `path` with a progress bar."""
    from moe3d_engine.assets.download import download
    from tqdm import tqdm

    if sha256 is None:
        raise ConfigError('--url needs --sha256: without it nobody knows what was fetched.')
    with tqdm(unit='B', unit_scale=True, unit_divisor=1024, desc=path.name, leave=False) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        download(url, path, sha256, report)


def convert(network: Moe3dNet, args: argparse.Namespace, sha256: str) -> Path:
    """Write the single head as weights of ours, with relative depth; return the card's path."""
    from moe3d_engine.graphs.export import export_weights
    from moe3d_engine.lab.parity_scene import parity_window

    card = export_weights(
        network,
        args.out,
        name=args.name,
        input_hw=tuple(args.input_hw),
        max_views=args.max_views,
        metric=False,
        training={'source': args.file.name, 'sha256': sha256},
        licence=args.licence,
        images=parity_window(args.max_views, tuple(args.input_hw))[0],
    ).card
    return card.folder / f'{card.name}.json'
