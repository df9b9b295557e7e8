"""Protocols as data, the maps they judge, and the tables they give."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
from moe3d_engine.errors import ConfigError
from moe3d_engine.geometry.cameras import scale_intrinsics
from moe3d_engine.lab.protocols.catalogue import FrameRule
from moe3d_engine.lab.protocols.catalogue import load_protocols
from moe3d_engine.lab.protocols.catalogue import Protocol
from moe3d_engine.lab.protocols.maps import cubic_weights
from moe3d_engine.lab.protocols.maps import linear_weights
from moe3d_engine.lab.protocols.maps import resize_map
from moe3d_engine.lab.protocols.maps import sample_map
from moe3d_engine.lab.protocols.table import format_table
from moe3d_engine.lab.protocols.table import table_rows
from moe3d_engine.lab.protocols.table import write_tables
from moe3d_engine.lab.reports.facts import FACTS
import numpy as np
import pytest

PROTOCOLS = load_protocols().protocols


def values_from_target(values_hw: tuple[int, int], target_hw: tuple[int, int]) -> np.ndarray:
    """Return the pixel transform of a resize."""
    scale_y, scale_x = (a / b for a, b in zip(values_hw, target_hw, strict=True))
    return scale_intrinsics(np.eye(3), scale_x, scale_y)


@pytest.mark.parametrize('protocol', PROTOCOLS, ids=lambda p: f'{p.dataset}-{p.name}')
def test_protocol_states_what_its_task_needs(protocol: Protocol) -> None:
    needed = {
        'points': ('size_hw', 'icp_m', 'min_depth_m', 'max_depth_m'),
        'depth': ('unit',),
        'trajectory': (),
        'tsdf': ('voxel_m', 'threshold_m', 'min_depth_m', 'max_depth_m'),
    }[protocol.task]

    assert all(getattr(protocol, name) is not None for name in needed)
    assert set(protocol.metrics) <= set(FACTS)
    assert protocol.cautions
    assert set(protocol.frames.counts) <= set(protocol.sequences or ())
    for row in protocol.published:
        assert row.source
        assert set(row.figures) <= set(protocol.metrics)


def test_every_data_set_has_its_protocols() -> None:
    names = {(p.dataset, p.name) for p in PROTOCOLS}
    video = {'mono', 'video-scale', 'video-scale-shift'}
    expected = {(d, n) for d in ('sintel', 'bonn', 'kitti') for n in video}
    expected |= {
        (d, n) for d in ('7scenes', 'nrgbd') for n in ('pi3-sparse', 'pi3-dense', 'cut3r-sparse')
    }

    assert len(names) == len(PROTOCOLS)
    assert names == expected | {('nyu', 'mono'), ('tum', 'trajectory'), ('7scenes', 'da3-tsdf')}


def test_one_method_has_one_row_per_protocol_and_rows_without_a_protocol_stay_apart() -> None:
    for protocol in PROTOCOLS:
        methods = [row.method for row in protocol.published]
        assert len(set(methods)) == len(methods)
        assert 'MoE3D' not in methods

    moe3d = [row for row in load_protocols().elsewhere if row.method == 'MoE3D']
    assert {row.protocol for row in moe3d} == {'protocol unknown'}
    assert {row.dataset: row.figures['acc_mean'] for row in moe3d} == {
        '7scenes': 0.035, 'nrgbd': 0.055,
    }  # fmt: skip


def test_published_figures_of_the_two_scripts_differ() -> None:
    """The same network, the same frames: only the alignment differs."""
    rows = {
        name: {row.method: row.figures['acc_mean'] for row in protocol.published}
        for name in ('pi3-sparse', 'cut3r-sparse')
        for protocol in [load_protocols().find('7scenes', name)]
    }

    assert (rows['pi3-sparse']['Pi3'], rows['cut3r-sparse']['Pi3']) == (0.047, 0.124)


def test_unknown_data_set_and_protocol_are_refused_with_what_there_is() -> None:
    with pytest.raises(ConfigError, match='7scenes, nrgbd'):
        load_protocols().find('scannet', 'mono')
    with pytest.raises(ConfigError, match='pi3-sparse, pi3-dense, cut3r-sparse'):
        load_protocols().find('nrgbd', 'mono')


def test_frames_are_those_of_the_reference() -> None:
    scenes, cut3r = (
        load_protocols().find(*name)
        for name in (('7scenes', 'pi3-sparse'), ('nrgbd', 'cut3r-sparse'))
    )

    assert scenes.frames.choose(range(1000)) == [0, 200, 400, 600, 800]
    assert len(scenes.frames.choose(range(500))) == scenes.frames.counts['stairs/seq-01'] == 3
    assert cut3r.frames.choose(range(1200)) == [0, 500, 1000]
    assert cut3r.frames.choose(range(395)) == [0, 197, 394]  # thin_geometry is that short
    assert FrameRule(stride=3, most=90).choose(range(1000))[-1] == 267
    assert FrameRule(stride=500, at_most_half=True).choose([7]) == [7]


@pytest.mark.parametrize('target_hw', [(28, 36), (9, 12), (13, 40)])
def test_linear_resize_is_that_of_opencv_when_it_enlarges(target_hw: tuple[int, int]) -> None:
    values = np.random.default_rng(0).random((9, 12, 3)).astype(np.float32)

    resized = resize_map(values, values_from_target((9, 12), target_hw), target_hw, linear_weights)

    expected = cv2.resize(values, target_hw[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(resized, expected, atol=2e-6)


def test_linear_resize_averages_when_it_shrinks() -> None:
    values = np.zeros((8, 8), np.float32)
    values[:, ::2] = 1.0

    resized = resize_map(values, values_from_target((8, 8), (4, 4)), (4, 4), linear_weights)

    np.testing.assert_allclose(resized[:, 1:3], 0.5)  # without antialias it would be the same
    shrunk = resize_map(values, values_from_target((8, 8), (2, 2)), (2, 2), linear_weights)
    assert np.abs(shrunk - 0.5).max() < 0.1  # ... and here 0 or 1


def test_cubic_resize_is_that_of_opencv() -> None:
    values = np.random.default_rng(1).random((9, 12)).astype(np.float32)
    for target_hw in ((30, 41), (5, 7)):
        resized = resize_map(
            values, values_from_target((9, 12), target_hw), target_hw, cubic_weights
        )
        expected = cv2.resize(values, target_hw[::-1], interpolation=cv2.INTER_CUBIC)
        np.testing.assert_allclose(resized, expected, atol=1e-5)


def test_pixels_outside_the_crop_are_unknown() -> None:
    values = np.ones((4, 4), np.float32)
    shifted = np.array([[1.0, 0, -2], [0, 1, 0], [0, 0, 1]])  # the target begins 2 columns before

    for result in (
        resize_map(values, shifted, (4, 8), linear_weights),
        sample_map(values, shifted, (4, 8)),
    ):
        assert np.isnan(result).sum(axis=0).tolist() == [4, 4, 0, 0, 0, 0, 4, 4]
        np.testing.assert_allclose(result[:, 2:6], 1.0)


def test_table_keeps_published_rows_ours_and_incomparable_ones_apart(tmp_path: Path) -> None:
    protocol = load_protocols().find('nrgbd', 'cut3r-sparse')
    ours = {'moe3d-small: all pixels': {'acc_mean': 0.25, 'comp_mean': float('nan')}}

    rows = table_rows(protocol, ours, load_protocols().elsewhere)
    write_tables(tmp_path, protocol, rows)
    text = format_table(protocol, rows)

    methods = [row.method for row in rows]
    assert methods.index('CUT3R') < methods.index('moe3d-small: all pixels')
    assert methods.index('moe3d-small: all pixels') < methods.index('MoE3D')
    assert '| MoE3D | 0.055 |' in text
    assert text.count('NOT COMPARABLE: protocol unknown') == 1
    assert "CUT3R's paper, table 4" in text
    with (tmp_path / 'table.csv').open() as file:
        lines = {line['method']: line for line in csv.DictReader(file)}
    assert lines['moe3d-small: all pixels']['acc_mean'] == '0.25'
    assert lines['moe3d-small: all pixels']['comp_mean'] == ''
    assert lines['MASt3R-GA']['comp_mean'] == ''  # the source was cut off
    content = json.loads((tmp_path / 'table.json').read_text())
    assert content['rows'][methods.index('MoE3D')]['protocol'] == 'protocol unknown'
    tex = (tmp_path / 'table.tex').read_text().splitlines()
    assert next(line for line in tex if 'MoE3D ' in line).startswith('% MoE3D')
    assert all(line.count('&') == 6 for line in tex if r'\\' in line)
