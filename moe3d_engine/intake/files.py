"""Views from image files and folders."""

from __future__ import annotations

from pathlib import Path

import cv2
from moe3d_engine.errors import InputError
from moe3d_engine.types import Float64Array
from moe3d_engine.types import View
import numpy as np

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp')


def list_images(folder: Path) -> list[Path]:
    """
    Return the image files of a folder, sorted by name.

    Raises
    ------
    InputError
        If there are none.
    """
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise InputError(
            f'{folder} holds neither images ({", ".join(IMAGE_SUFFIXES)}) nor the metadata.yaml '
            f'of a bag.'
        )
    return files


def read_image_view(path: Path, intrinsics: Float64Array | None = None) -> View:
    """
    Read an image file as a view; its stamp is 0.

    Raises
    ------
    InputError
        If the file is missing or no image.
    """
    if not path.is_file():
        raise InputError(f'{path} does not exist; expected an image, a folder or a bag.')
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise InputError(f'{path} cannot be read as an image.')
    return View(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8), intrinsics)
