"""From a photograph to embeddings."""
from __future__ import annotations

from typing import Sequence, overload

import numpy.typing as npt

from .faces import EmbeddedFace, Embedding, Embeddings, Face, similarity
from .images import Image, Mode, align_face
from .sessions import Detector, Embedder, FaceSelection, PlanKind, Precision, Three
from .weights import WeightsOrPath


class Engine:
    """Detects, aligns, embeds and compares faces.

    model: Weights, or the path of an .afw file, that hold an IR network's.
    detector: the same, of MTCNN.
    mode: of detection and alignment: "standard", the published networks with the published code's defects
        mended; "reference", the published pipeline number for number, if
        pictures are read with apply_orientation=False.
    faces: which faces detect() and analyze() return: "all", the "largest" (box area) or the "best" (score).
    threads: 0 to 1024, 0: available_cpus().
    device: "cpu", "cuda" or "cuda:N", of detection and embedding.
    precision, plan: of the embedding, as Embedder has them.
    min_face, pyramid_factor, score_thresholds, overlap_thresholds: of the detection, as Detector has them.

    Any number of Python threads may share an Engine: detection and embedding take one call at a time each, so
    that two threads keep both busy. Raises as Detector and Embedder.
    """

    detector: Detector
    """For calls of its own; shared with this engine."""

    embedder: Embedder
    """For calls of its own; shared with this engine."""

    def __init__(self, model: WeightsOrPath, detector: WeightsOrPath, *, mode: Mode = 'standard',
                 faces: FaceSelection = 'all', threads: int = 0, precision: Precision = 'f32',
                 plan: PlanKind = 'fast', min_face: float = 20, pyramid_factor: float = 0.85,
                 score_thresholds: Three = (0.6, 0.7, 0.9),
                 overlap_thresholds: Three = (0.7, 0.7, 0.7), device: str = 'cpu') -> None:
        if faces not in ('all', 'largest', 'best'):
            raise ValueError(f'faces is "{faces}", expected "all" or "largest" or "best"')
        self._mode: Mode = mode
        self._faces: FaceSelection = faces
        self.detector = Detector(detector, mode=mode, min_face=min_face, pyramid_factor=pyramid_factor,
                                 score_thresholds=score_thresholds, overlap_thresholds=overlap_thresholds,
                                 threads=threads, device=device)
        self.embedder = Embedder(model, threads=threads, precision=precision, plan=plan,
                                 device=device)

    def __repr__(self) -> str:
        return f'Engine({self.embedder!r}, {self.detector!r}, mode={self._mode!r}, faces={self._faces!r})'

    def detect(self, image: Image, *, bgr: bool = False) -> list[Face]:
        """The faces of an image in descending score; none is an empty list.

        image: uint8 of shape (height, width, 3). bgr: its channels are in OpenCV's order.
        """
        return self.detector.detect(image, faces=self._faces, bgr=bgr)

    def align(self, image: Image, face: Face | npt.ArrayLike, *, bgr: bool = False) -> Image:
        """The aligned crop of a face: uint8 RGB of shape (112, 112, 3), whatever the image's order.

        face: a Face, or five landmarks of shape (5, 2). Raises InvalidArgumentError when the points are not
            finite or coincide.
        """
        return align_face(image, face, mode=self._mode, bgr=bgr)

    @overload
    def embed(self, crops: Sequence[Image], *, bgr: bool = False) -> Embeddings: ...
    @overload
    def embed(self, crops: Image, *, bgr: bool = False) -> Embedding | Embeddings: ...

    def embed(self, crops: Image | Sequence[Image], *, bgr: bool = False) -> Embedding | Embeddings:
        """Embeds aligned faces: an Embedding of one crop, Embeddings of several.

        crops: uint8 of shape (112, 112, 3), a sequence of such, or an array of shape (N, 112, 112, 3). bgr:
            their channels are in OpenCV's order. Raises as Embedder.embed.
        """
        return self.embedder.embed(crops, bgr=bgr)

    def analyze(self, image: Image, *, bgr: bool = False) -> list[EmbeddedFace]:
        """Detects, aligns and embeds: the faces of an image in descending score, each with its embedding.

        image: uint8 of shape (height, width, 3). bgr: its channels are in OpenCV's order. No face is an empty
            list.
        """
        return self._embedded(image, self.detect(image, bgr=bgr), bgr)

    def compare(self, a: Image, b: Image, *, bgr: bool = False) -> float | None:
        """The similarity of the people in two photographs, in [-1, 1]; None when one of them shows no face.

        Of one face each, the one that this engine's ``faces`` selects: with "all" the largest, in reference
        mode the best, which is the one that the published pipeline takes.
        """
        one: FaceSelection = self._faces
        if one == 'all':
            one = 'best' if self._mode == 'reference' else 'largest'
        found = [self._embedded(image, self.detector.detect(image, faces=one, bgr=bgr), bgr)
                 for image in (a, b)]
        return similarity(found[0][0], found[1][0]) if all(found) else None

    def _embedded(self, image: Image, faces: list[Face], bgr: bool) -> list[EmbeddedFace]:
        crops = [self.align(image, face, bgr=bgr) for face in faces]
        units, norms = self.embedder.embed(crops)
        return [EmbeddedFace(face.box, face.score, face.landmarks, unit, float(norm))
                for face, unit, norm in zip(faces, units, norms)]
