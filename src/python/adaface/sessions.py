"""Detection and embedding, each alone."""
from __future__ import annotations

import contextlib
import operator
import os
import threading
from typing import Iterator, Literal, Sequence, Tuple, overload

import numpy as np
import numpy.typing as npt

from . import _adaface
from .faces import Embedding, Embeddings, Face
from .images import Image, Mode
from .weights import WeightsOrPath, loaded

FaceSelection = Literal['all', 'largest', 'best']
Precision = Literal['f32', 'bf16', 'f16']
PlanKind = Literal['fast', 'small']
Three = Tuple[float, float, float]


def _three(name: str, values: Three) -> Three:
    numbers = tuple(float(value) for value in values)
    if len(numbers) != 3:
        raise ValueError(f'{name} has {len(numbers)} numbers, expected 3: of P-Net, R-Net and O-Net')
    return numbers


class _Turn:
    """Calls take turns, in the process whose threads the session has."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._holder = 0

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        if os.getpid() != self._process:
            raise RuntimeError(f'this {self._name} was made before the process forked; make one in the '
                               'child, over the same Weights')
        if self._holder == threading.get_ident():
            raise RuntimeError(f'this {self._name} is called from within one of its calls, '
                               'by a signal handler?')
        with self._lock:
            self._holder = threading.get_ident()
            try:
                yield
            finally:
                self._holder = 0


class Detector:
    """Finds faces: MTCNN (Zhang et al. 2016, "Joint Face Detection and Alignment").

    weights: Weights, or the path of an .afw file, that hold MTCNN's.
    mode: "standard", the published networks with the published code's defects mended; "reference", the
        published pipeline number for number, where faces side by side hide one another.
    min_face: smallest side of a face, in pixels; 12 to 65535. Twice as large takes a quarter of the time.
    pyramid_factor: between the sizes at which faces are looked for, in (0, 0.99].
    score_thresholds: of P-Net, R-Net and O-Net, each in [0, 1).
    overlap_thresholds: intersection over union (over the smaller area for O-Net) above which the lower score
        is dropped, in (0, 1].
    threads: inside one image; 0 to 1024, 0: available_cpus().
    device: "cpu", "cuda" or "cuda:N".

    Any number of Python threads may share a Detector; their calls take turns. Raises InvalidArgumentError for
    other weights and for options out of range, UnsupportedError for a device that is not there, and as
    Weights.
    """

    def __init__(self, weights: WeightsOrPath, *, mode: Mode = 'standard', min_face: float = 20,
                 pyramid_factor: float = 0.85, score_thresholds: Three = (0.6, 0.7, 0.9),
                 overlap_thresholds: Three = (0.7, 0.7, 0.7), threads: int = 0,
                 device: str = 'cpu') -> None:
        self._weights, self._mode, self._device = loaded(weights), mode, device
        self._session = _adaface.Detector(
            self._weights._weights, mode, float(min_face), float(pyramid_factor),
            _three('score_thresholds', score_thresholds), _three('overlap_thresholds', overlap_thresholds),
            operator.index(threads), device)
        self._turn = _Turn('Detector')

    def __repr__(self) -> str:
        return f'Detector({self._weights!r}, mode={self._mode!r}, device={self._device!r})'

    def detect(self, image: Image, *, faces: FaceSelection = 'all', bgr: bool = False) -> list[Face]:
        """The faces of an image in descending score; none is an empty list.

        image: uint8 of shape (height, width, 3). One that is smaller than min_face has no face.
        faces: "all", "largest" (box area) or "best" (score): at most one.
        bgr: the image's channels are in OpenCV's order.
        """
        with self._turn():
            found = self._session.detect(image, faces, bgr)
        return [Face(box, score, landmarks) for box, score, landmarks in found]


class Embedder:
    """Turns aligned faces into embeddings: AdaFace (Kim et al. 2022).

    weights: Weights, or the path of an .afw file, that hold an IR network's.
    threads: 0 to 1024, 0: available_cpus(). One crop: threads work inside its layers; several: crops are
        spread over them.
    precision: of the multiplications, "f32", "bf16" or "f16". On a CPU bf16 takes a third less time, and the
        cosine between both is 0.9998 or more, so embeddings of both may be compared; f16 is for CUDA devices,
        where f32 is TF32: 11 bits of each factor.
    plan: "fast", in about three times the memory of a float32 file (one and a half with bf16), or "small", in
        little more than the file takes and a third more time (twice the time with bf16). Without meaning on a
        CUDA device.
    device: "cpu", "cuda" or "cuda:N".

    Any number of Python threads may share an Embedder; their calls take turns. Raises InvalidArgumentError
    for other weights and for options out of range, UnsupportedError when the CPU does not multiply in this
    precision and for a device that is not there, CorruptError, and as Weights.
    """

    def __init__(self, weights: WeightsOrPath, *, threads: int = 0, precision: Precision = 'f32',
                 plan: PlanKind = 'fast', device: str = 'cpu') -> None:
        self._weights, self._precision, self._plan, self._device = loaded(weights), precision, plan, device
        self._session = _adaface.Embedder(self._weights._weights, operator.index(threads), precision, plan,
                                          device)
        self._turn = _Turn('Embedder')

    def __repr__(self) -> str:
        return (f'Embedder({self._weights!r}, precision={self._precision!r}, plan={self._plan!r}, '
                f'device={self._device!r})')

    def prepare(self) -> None:
        """Transforms all weights of a fast plan at once: later embeddings take their steady time and no new
        memory.

        For services, and for measurements. Results are the same bits without it.
        """
        with self._turn():
            self._session.prepare()

    @overload
    def embed(self, crops: Sequence[Image], *, bgr: bool = False) -> Embeddings: ...
    @overload
    def embed(self, crops: Image, *, bgr: bool = False) -> Embedding | Embeddings: ...

    def embed(self, crops: Image | Sequence[Image], *, bgr: bool = False) -> Embedding | Embeddings:
        """Embeds aligned faces, as align_face makes them.

        crops: one, uint8 of shape (112, 112, 3), gives an Embedding; several, a sequence of such or an array
            of shape (N, 112, 112, 3), give Embeddings. On a CPU the result is the same bits however crops are
            batched.
        bgr: the crops' channels are in OpenCV's order. What the network was trained on does not matter here:
            its weights know.

        Raises InvalidArgumentError when a crop has another size, CorruptError when the weights overflow.
        """
        if isinstance(crops, np.ndarray) and crops.ndim != 4:
            units, norms = self._embed([crops], bgr)
            return Embedding(units[0], float(norms[0]))
        return Embeddings(*self._embed(list(crops), bgr))

    def _embed(self, crops: list[Image],
               bgr: bool) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        with self._turn():
            return self._session.embed(crops, bgr)
