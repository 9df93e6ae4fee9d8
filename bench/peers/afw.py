"""Reads the flat weight file (weights/FORMAT.md) with numpy alone."""
import dataclasses
import struct

import numpy as np

MAGIC = b"\x89AFW\r\n\x1a\n"
ARCHITECTURES = {1: "mtcnn", 2: "ir_18", 3: "ir_34", 4: "ir_50", 5: "ir_101", 6: "ir_se_50"}
COLORS = {0: "bgr", 1: "rgb"}


@dataclasses.dataclass
class Weights:
    architecture: str
    color: str
    tensors: dict  # name -> float32 array


def widen(raw, kind, shape):
    if kind == 0:
        values = raw.view("<f4")
    elif kind == 1:
        values = raw.view("<f2").astype(np.float32)
    elif kind == 2:  # the upper half of a float32
        values = (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        raise ValueError(f"tensor type {kind}, expected 0 to 2")
    return values.reshape(shape)


def identity(path):
    """Start of the SHA-256 of the weights, as the header states it."""
    with open(path, "rb") as file:
        return file.read(112)[80:].hex()[:8]


def read(path):
    data = np.fromfile(path, np.uint8)
    header = data[:256].tobytes()
    if header[:8] != MAGIC:
        raise ValueError(f"{path}: not an .afw file")
    version, architecture, color, _, count = struct.unpack_from("<5I", header, 8)
    if version != 1:
        raise ValueError(f"{path}: version {version}, expected 1")
    tensors = {}
    for i in range(count):
        record = data[256 + 128 * i:256 + 128 * (i + 1)].tobytes()
        name = record[:64].rstrip(b"\0").decode("ascii")
        kind, rank = struct.unpack_from("<2I", record, 64)
        shape = struct.unpack_from("<4I", record, 72)[:rank]
        offset, size = struct.unpack_from("<2Q", record, 88)
        tensors[name] = widen(data[offset:offset + size], kind, shape)
    return Weights(ARCHITECTURES[architecture], COLORS[color], tensors)
