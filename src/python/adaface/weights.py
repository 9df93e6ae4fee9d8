"""Weight files (.afw), as adaface-convert writes them."""
from __future__ import annotations

import dataclasses
import os
from typing import Union

from . import _adaface
from .images import Path


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """One tensor of a weight file."""

    name: str
    """As weights/FORMAT.md has it: "stem.conv.weight"."""

    type: str
    """ "f32", "f16" or "bf16"."""

    shape: tuple[int, ...]
    """Sizes, the slowest first."""

    bytes: int
    """In the file."""


@dataclasses.dataclass(frozen=True)
class WeightsInfo:
    """What a weight file holds."""

    architecture: str
    """ "mtcnn", "ir_18", "ir_34", "ir_50", "ir_101" or "ir_se_50"."""

    color: str
    """Channel order that the network was trained on, "bgr" or "rgb". For information: every call takes RGB,
    or BGR by its flag, and gives the network what it wants."""

    storage: str
    """Of the large tensors: "f32", "f16" or "bf16"."""

    source_sha256: str
    """Of the checkpoint that was converted."""

    weights_sha256: str
    """Of the weights themselves: the identity of the model. Compare only embeddings whose models agree in
    it."""

    file_bytes: int
    """Size of the file."""

    parameters: int
    """Numbers that training has learned."""

    tensors: tuple[TensorInfo, ...] = dataclasses.field(repr=False)
    """All of them, in the file's order."""


class Weights:
    """A mapped weight file and what has been planned from it, to be shared by any number of detectors or
    embedders.

    path: an .afw file. Structure and names are checked at once, each tensor's checksum when it is first used.
        While a Weights, or anything made from it, is alive, the file may be removed or replaced by renaming,
        but must not be truncated or overwritten in place.

    Raises NotFoundError, FileError, CorruptError, UnsupportedError.
    """

    def __init__(self, path: Path) -> None:
        self._path = os.fspath(path)
        self._weights = _adaface.Weights(self._path)

    def info(self) -> WeightsInfo:
        """What the file holds."""
        values = self._weights.info()
        values['tensors'] = tuple(TensorInfo(*tensor) for tensor in values['tensors'])
        return WeightsInfo(**values)

    def verify(self) -> None:
        """Reads every tensor and compares checksums. Raises CorruptError, naming the tensor."""
        self._weights.verify()

    def __repr__(self) -> str:
        return f'Weights({self._path!r})'


WeightsOrPath = Union[Weights, Path]


def loaded(weights: WeightsOrPath) -> Weights:
    """``weights`` itself, or those of the file that it names."""
    return weights if isinstance(weights, Weights) else Weights(weights)


def info(path: Path) -> WeightsInfo:
    """What a weight file holds, without reading its tensors. Raises as Weights."""
    return Weights(path).info()
