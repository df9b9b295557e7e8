"""`moe3d reconstruct` from files to arrays and clouds."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
from moe3d_engine.assets import find_weights
from moe3d_engine.cli.output import check_free
from moe3d_engine.cli.reconstruct import is_own_result
from moe3d_engine.cli.reconstruct import parse_intrinsics
from moe3d_engine.cli.reconstruct import read_views
from moe3d_engine.errors import ConfigError
from moe3d_engine.errors import InputError
from moe3d_engine.errors import Moe3dError
from moe3d_ros.cli import installed_commands
from moe3d_ros.cli import main
import numpy as np
import pytest


def weights_are_shipped() -> bool:
    """Return whether the default weights are in this checkout."""
    try:
        return find_weights('moe3d-small') is not None
    except Moe3dError:
        return False


needs_weights = pytest.mark.skipif(not weights_are_shipped(), reason='moe3d-small is not there')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of three colour images of 80x60 pixels, and a text file."""
    rng = np.random.default_rng(3)
    for index in (2, 0, 1):
        image = cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (80, 60))
        image[0, 0] = (index, 0, 200)  # BGR: red 200, blue the index
        cv2.imwrite(str(tmp_path / f'{index}.png'), image)
    (tmp_path / 'notes.txt').write_text('no image')
    return tmp_path


def test_folder_is_read_in_the_order_of_names_as_rgb(folder: Path) -> None:
    views = read_views([folder], None, None, 1)

    assert [view.image[0, 0].tolist() for view in views] == [[200, 0, k] for k in range(3)]


def test_every_nth_image_of_a_folder(folder: Path) -> None:
    assert [view.image[0, 0, 2] for view in read_views([folder], None, None, 2)] == [0, 2]


def test_single_images_keep_their_order_and_get_the_intrinsics(folder: Path) -> None:
    intrinsics = parse_intrinsics('70,71,39.5,29.5')

    views = read_views([folder / '1.png', folder / '0.png'], intrinsics, None, 1)

    assert [view.image[0, 0, 2] for view in views] == [1, 0]
    np.testing.assert_array_equal(views[0].intrinsics, [[70, 0, 39.5], [0, 71, 29.5], [0, 0, 1]])


@pytest.mark.parametrize('name', ['missing.png', 'notes.txt'])
def test_what_is_no_image_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(InputError, match=name):
        read_views([folder / name], None, None, 1)


def test_intrinsics_stay_with_the_stored_pixels_whatever_exif_says(folder: Path) -> None:
    image = cv2.imread(str(folder / '0.png'))
    _, jpeg = cv2.imencode('.jpg', image)
    # Big-endian TIFF with one entry: orientation (0x112), a short, 6 = turn by 90 degrees.
    exif = b'Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0'
    segment = b'\xff\xe1' + (len(exif) + 2).to_bytes(2, 'big') + exif
    (folder / 'turned.jpg').write_bytes(jpeg.tobytes()[:2] + segment + jpeg.tobytes()[2:])
    assert cv2.imread(str(folder / 'turned.jpg')).shape[:2] == (80, 60)  # as a viewer shows it

    (view,) = read_views([folder / 'turned.jpg'], None, None, 1)

    assert view.image.shape == (60, 80, 3)


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
@pytest.mark.parametrize('share', [0.3, 0.9])
def test_a_cut_file_is_refused_by_name(folder: Path, suffix: str, share: float) -> None:
    path = folder / f'cut{suffix}'
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    data = cv2.imencode(suffix, noise)[1].tobytes()
    path.write_bytes(data[: int(share * len(data))])

    with pytest.raises(InputError, match=path.name):
        read_views([folder], None, None, 1)


def test_depth_is_no_picture(folder: Path) -> None:
    cv2.imwrite(str(folder / 'depth.png'), np.full((60, 80), 1500, np.uint16))

    with pytest.raises(InputError, match=r'depth\.png'):
        read_views([folder], None, None, 1)


def test_hidden_files_of_a_folder_are_none_of_its_images(folder: Path) -> None:
    (folder / '._0.png').write_bytes(b'\0\5\26\7Mac OS X')

    assert len(read_views([folder], None, None, 1)) == 3


def test_result_of_an_earlier_run_is_replaced_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / 'r.npz'
    np.savez(out, depth_raw=0, cam_from_world=0, depth_scale='metric')

    with caplog.at_level('INFO'):
        check_free(out, False, is_own_result)

    assert f'The result in {out} is replaced.' in caplog.text


def test_an_output_that_exists_is_not_written_over(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / 'r.npz'
    out.write_text('of yesterday')

    code = main(['reconstruct', str(folder), '--out', str(out)])

    assert code == 2
    assert '--force' in capsys.readouterr().err
    assert out.read_text() == 'of yesterday'


def test_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='neither images'):
        read_views([tmp_path], None, None, 1)


@pytest.mark.parametrize('text', ['1,2,3', '1,2,3,x', '0,1,2,3', 'nan,1,2,3', '1,-1,2,3', ''])
def test_wrong_intrinsics_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match='--intrinsics'):
        parse_intrinsics(text)


@pytest.mark.parametrize(
    'options', [['--out', 'r.txt'], ['--out', 'r.npz', '--every', '0'],
                ['--out', 'r.npz', '--max-views', '0'], ['--out', 'r.npz', '--backend', 'abacus']],
)  # fmt: skip
def test_wrong_options_are_one_line_on_stderr(
    folder: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(['reconstruct', str(folder), *options])

    assert code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@needs_weights
def test_arrays_lie_on_the_pixels_of_the_images(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / 'made' / 'r.npz'

    code = main(
        ['reconstruct', str(folder), '--out', str(out), '--max-views', '2', '--json',
         '--intrinsics', '70,71,39.5,29.5'])  # fmt: skip

    assert code == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary['views'] == 3
    with np.load(out, allow_pickle=False) as arrays:
        for name in ('depth_raw', 'depth', 'boundary_confidence'):
            assert arrays[name].shape == (3, 60, 80)
        assert arrays['cam_from_world'].shape == (3, 4, 4)
        np.testing.assert_allclose(arrays['intrinsics'][:, 0, 0], 70.0)
        assert str(arrays['depth_scale']) == summary['depth_scale']
        kept = np.isfinite(arrays['depth'])
        np.testing.assert_array_equal(arrays['depth'][kept], arrays['depth_raw'][kept])
        assert (arrays['boundary_confidence'][np.isnan(arrays['depth'])] == 0).all()
        assert (arrays['depth_raw'][np.isfinite(arrays['depth_raw'])] > 0).all()


@needs_weights
def test_cloud_without_rejection_has_a_point_for_each_network_pixel(folder: Path) -> None:
    height, width = find_weights('moe3d-small').input_hw

    code = main(
        ['reconstruct', str(folder / '0.png'), '--out', str(folder / 'r.ply'), '--no-rejection']
    )

    assert code == 0
    header = (folder / 'r.ply').read_bytes()[:120]
    assert f'element vertex {height * width}\n'.encode() in header


def test_each_command_can_print_json() -> None:
    for command in installed_commands():
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        assert '--json' not in parser.format_help()  # added once, for all
