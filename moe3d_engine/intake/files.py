"""Views from image files and folders."""

from __future__ import annotations

from pathlib import Path

from moe3d_engine.errors import InputError
from moe3d_engine.intake.images import decode_image_bytes
from moe3d_engine.types import Float64Array
from moe3d_engine.types import View

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp')


def list_images(folder: Path) -> list[Path]:
    """
    Return the image files of a folder, sorted by name; hidden ones are of an operating system.

    Raises
    ------
    InputError
        If there are none.
    """
    files = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith('.')
    )
    if not files:
        raise InputError(
            f'{folder} holds neither images ({", ".join(IMAGE_SUFFIXES)}) nor the files of a bag '
            f'(metadata.yaml, .mcap, .db3).'
        )
    return files


def read_image_view(path: Path, intrinsics: Float64Array | None = None) -> View:
    """
    Read an image file as a view; its stamp is 0.

    A file is treated as a message is: its pixels stay where they are stored, whatever its EXIF
    says, because that is where intrinsics belong to.

    Raises
    ------
    InputError
        If the file is missing, cut, or no picture.
    """
    if not path.is_file():
        raise InputError(f'{path} does not exist; expected an image, a folder or a bag.')
    return View(decode_image_bytes(path.read_bytes(), str(path)), intrinsics)
