"""What detection and embedding give, and the similarity of embeddings."""
from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple, Union, overload

import numpy as np
import numpy.typing as npt

CROP_SIZE = 112
"""Width and height of an aligned face, in pixels."""

EMBEDDING_SIZE = 512
"""Numbers in an embedding."""


def _numbers(array: npt.NDArray[Any], digits: int) -> str:
    return '[' + ', '.join(f'{value:.{digits}f}' for value in array) + ']'


def _beginning(array: npt.NDArray[Any]) -> str:
    return f'<{len(array)} numbers: {_numbers(array[:3], 4)[:-1]}, ...]>'


@dataclasses.dataclass(eq=False, repr=False)
class Face:
    """A face in an image. Faces with equal numbers are equal."""

    box: npt.NDArray[np.float32]
    """(4,): x1, y1, x2, y2 in pixels, inclusive: the width is x2 - x1 + 1. Neither rounded nor clipped: a box
    may reach outside the image."""

    score: float
    """Probability of being a face, in (the O-Net's threshold, 1]."""

    landmarks: npt.NDArray[np.float32]
    """(5, 2): x and y of the left eye, right eye, nose, left and right corner of the mouth, as seen in the
    image."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(np.array_equal(getattr(self, field.name), getattr(other, field.name))
                   for field in dataclasses.fields(self))

    def __repr__(self) -> str:
        points = ', '.join(_numbers(point, 1) for point in self.landmarks)
        return f'Face(box={_numbers(self.box, 1)}, score={self.score:.4f}, landmarks=[{points}])'


@dataclasses.dataclass(eq=False, repr=False)
class EmbeddedFace(Face):
    """A face and its embedding."""

    embedding: npt.NDArray[np.float32]
    """(512,): finite, of length 1 (all zero where norm is 0, which no real face gives)."""

    norm: float
    """Length before normalisation: grows with the quality of the image (Kim et al. 2022, section 3.2)."""

    def __repr__(self) -> str:
        return (f'EmbeddedFace({super().__repr__()[5:-1]}, embedding={_beginning(self.embedding)}, '
                f'norm={self.norm:.2f})')


class Embedding(NamedTuple):
    """Of one crop. ``unit, norm = engine.embed(crop)``."""

    unit: npt.NDArray[np.float32]
    """(512,): finite, of length 1 (all zero where norm is 0, which no real face gives)."""

    norm: float
    """Length before normalisation: grows with the quality of the image (Kim et al. 2022, section 3.2)."""

    def __repr__(self) -> str:
        return f'Embedding(unit={_beginning(self.unit)}, norm={self.norm:.2f})'


class Embeddings(NamedTuple):
    """Of several crops, in their order. ``units, norms = engine.embed(crops)``."""

    units: npt.NDArray[np.float32]
    """(N, 512): a row for each crop, as Embedding.unit."""

    norms: npt.NDArray[np.float32]
    """(N,): as Embedding.norm."""

    def __repr__(self) -> str:
        count = self.units.shape[0]
        return f'Embeddings(units=<{count} x {EMBEDDING_SIZE}>, norms={_numbers(self.norms, 2)})'


Embedded = Union[npt.NDArray[np.floating[Any]], Embedding, EmbeddedFace]


def _rows(name: str, value: object) -> npt.NDArray[np.float64]:
    if isinstance(value, Embedding):
        value = value.unit
    elif isinstance(value, Embeddings):
        value = value.units
    elif isinstance(value, EmbeddedFace):
        value = value.embedding
    if not isinstance(value, np.ndarray) or not np.issubdtype(value.dtype, np.floating):
        kind = f'has dtype {value.dtype}' if isinstance(value, np.ndarray) else f'is a {type(value).__name__}'
        raise TypeError(f'{name} {kind}, expected an embedding: floats of shape (512,) or (N, 512)')
    if value.ndim not in (1, 2) or value.shape[-1] != EMBEDDING_SIZE:
        raise ValueError(f'{name} has shape {value.shape}, expected (512,) or (N, 512)')
    return value.astype(np.float64)


@overload
def similarity(a: Embedding | EmbeddedFace, b: Embedding | EmbeddedFace) -> float: ...
@overload
def similarity(a: Embeddings, b: Embeddings) -> npt.NDArray[np.float64]: ...
@overload
def similarity(a: Embedded | Embeddings, b: Embedded | Embeddings) -> Any: ...


def similarity(a: Embedded | Embeddings, b: Embedded | Embeddings) -> Any:
    """The cosine of the angle between embeddings of the same model, in [-1, 1]; summed in double.

    Of two embeddings, arrays of shape (512,): a float. Where one is an array of N embeddings, shape (N, 512):
    N numbers; where both are, the matrix (N, M) of each with each. Embedding, Embeddings and EmbeddedFace
    stand for their arrays. The authors of AdaFace suggest about 0.3 as the threshold for the same person.

    Raises TypeError and ValueError for anything else. Arrays are taken as they are: of length 1.
    """
    result = np.clip(_rows('a', a) @ _rows('b', b).T, -1.0, 1.0)
    return float(result) if result.ndim == 0 else result
