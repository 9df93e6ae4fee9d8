"""Find faces in a photograph, align them, turn each into a 512-dimensional embedding, compare embeddings.

    import adaface

    engine = adaface.Engine("model.afw", "mtcnn.afw")
    a = engine.analyze(adaface.read_image("a.jpg"))
    b = engine.analyze(adaface.read_image("b.jpg"))
    if a and b:
        print(adaface.similarity(a[0].embedding, b[0].embedding))

Images are numpy arrays of uint8 with shape (height, width, 3), in RGB order, or in OpenCV's BGR where
``bgr=True`` says so. Rows may lie apart, as in a cut-out ``image[100:300, 50:250]``; other views are copied.
An array must not change while a call reads it.

Coordinates are pixels; x grows to the right, y downwards, (0, 0) is the centre of the top left pixel.

Errors are of the class Error, whose ``code`` names their kind, and also of the built-in class that is
closest: a missing file is a FileNotFoundError, an option out of range a ValueError. Arguments of another
type, dtype or shape than documented raise plain TypeError and ValueError. A photograph without a face is an
empty result.

Threads. Calls that read files or compute let other Python threads run meanwhile. A Detector and an Embedder
run one call at a time, and an Engine has one of each: any number of Python threads may share them and wait
for each other. To run several at once make several, over the same Weights, which then share the memory of the
model. Results do not depend on threads, nor, on a CPU, on how crops are batched.

Devices. Engines compute on the CPU, or on the CUDA device that ``device`` names: "cuda", or "cuda:1" for the
second one. cuda_devices() tells which there are; of others, and where the package was built without CUDA, an
UnsupportedError says so. On a device the same call gives the same bits again, but a crop may differ from
itself in another batch by rounding.

Ctrl-C stops a long call, as does whatever a signal handler raises; the engine can be used again.

Processes. Make engines after a fork, or start processes by "spawn" or "forkserver": a call in a child raises
RuntimeError where the engine was made by its parent. Weights may be loaded before and used after. Engines
cannot be pickled; results and WeightsInfo can. CUDA does not outlive a fork: no child uses it whose parent has
made an engine on a device or called cuda_devices().
"""
from ._adaface import __version__, available_cpus as _available_cpus, build_info as _build_info
from .devices import DeviceInfo, cuda_devices
from .engine import Engine
from .errors import (CancelledError, CorruptError, Error, FileError, InternalError, InvalidArgumentError,
                     LimitError, NotFoundError, OutOfMemoryError, UnsupportedError)
from .faces import CROP_SIZE, EMBEDDING_SIZE, EmbeddedFace, Embedding, Embeddings, Face, similarity
from .images import align_face, decode_image, read_image, write_image
from .sessions import Detector, Embedder
from .weights import TensorInfo, Weights, WeightsInfo, info


def available_cpus() -> int:
    """The number of CPUs that this process may use, affinity and cgroup quota included; at least 1."""
    return _available_cpus()


def build_info() -> dict[str, str]:
    """How the package was built and what it found here, for reports of errors.

    "version", "compiler", "onednn" (built against, loaded), "kernels" (those that this CPU gets), "bfloat16",
    "channels in a block", "cuda" (the devices, or why there are none).
    """
    return dict(line.split(': ', 1) for line in _build_info().splitlines())


__all__ = [
    'CROP_SIZE', 'CancelledError', 'CorruptError', 'Detector', 'DeviceInfo', 'EMBEDDING_SIZE',
    'EmbeddedFace', 'Embedder', 'Embedding', 'Embeddings', 'Engine', 'Error', 'Face', 'FileError',
    'InternalError', 'InvalidArgumentError', 'LimitError', 'NotFoundError', 'OutOfMemoryError', 'TensorInfo',
    'UnsupportedError', 'Weights', 'WeightsInfo', '__version__', 'align_face', 'available_cpus',
    'build_info', 'cuda_devices', 'decode_image', 'info', 'read_image', 'similarity', 'write_image',
]
