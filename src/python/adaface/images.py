"""Image files, and crops of faces."""
from __future__ import annotations

import os
from typing import Literal, Union

import numpy as np
import numpy.typing as npt

from . import _adaface
from .faces import Face

Path = Union[str, 'os.PathLike[str]']
Image = npt.NDArray[np.uint8]
Mode = Literal['standard', 'reference']


def read_image(path: Path, *, apply_orientation: bool = True, max_side: int = 16384,
               max_file_bytes: int = 1 << 30) -> Image:
    """Reads an image file: JPEG, PNG, BMP, GIF (first frame), TGA, PSD, PIC, PNM or HDR.

    Returns uint8 RGB of shape (height, width, 3). Alpha is dropped, grey becomes three equal channels, 16
    bits are scaled to 8.

    apply_orientation: turn the picture as its EXIF orientation says; False for what the published pipeline
        sees.
    max_side: wider or higher pictures raise LimitError before any pixel is decoded.
    max_file_bytes: larger files raise LimitError.

    Raises NotFoundError, FileError, CorruptError, UnsupportedError.
    """
    return _adaface.read_image(os.fspath(path), apply_orientation, max_side, max_file_bytes)


def decode_image(file: bytes, *, name: str = 'image', apply_orientation: bool = True,
                 max_side: int = 16384) -> Image:
    """As read_image, of a file's bytes. ``name`` stands in error messages."""
    if not isinstance(file, (bytes, bytearray, memoryview)):
        raise TypeError(f'file is a {type(file).__name__}, expected the bytes of an image file')
    return _adaface.decode_image(bytes(file), name, apply_orientation, max_side)


def write_image(path: Path, image: Image, *, jpeg_quality: int = 92, bgr: bool = False) -> None:
    """Writes uint8 of shape (height, width, 3), by the path's extension: .png (lossless) or .jpg/.jpeg.

    jpeg_quality: 1 to 100. The file appears whole or not at all. Raises InvalidArgumentError, for another
        extension too, FileError and NotFoundError.
    """
    _adaface.write_image(os.fspath(path), image, jpeg_quality, bgr)


def align_face(image: Image, face: Face | npt.ArrayLike, *, mode: Mode = 'standard',
               bgr: bool = False) -> Image:
    """The aligned crop of a face: uint8 RGB of shape (112, 112, 3), bilinear, black outside the image.

    face: a Face, or its landmarks: five points (x, y) of shape (5, 2), in Face.landmarks' order.
    mode: "reference" may mirror strong profiles, as the published code does.

    Raises InvalidArgumentError when the points are not finite or coincide.
    """
    landmarks = face.landmarks if isinstance(face, Face) else face
    return _adaface.align_face(image, landmarks, mode, bgr)
