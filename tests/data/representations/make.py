#!/usr/bin/env python3
"""Makes the gallery pickles of this folder with PyTorch and NumPy; run only to renew them (written by torch 1.13
and NumPy 1.24).

Value i of entry n is ((i * 7 + n) % 61 - 30) / 2, exact in every floating type.
"""
import pathlib
import pickle

import numpy as np
import torch

OUT = pathlib.Path(__file__).parent
PATHS = ["people/anna/1.jpg", "people/björn/2.jpg", "people/c d/\udcff3.jpg"]  # the last: byte FF, not UTF-8


def values(n):
    return (((np.arange(512) * 7 + n) % 61 - 30) / 2).astype(np.float32)


def row(n):
    return torch.from_numpy(values(n)).reshape(1, 512)


def write(name, embeddings, pair=list, **options):
    with open(OUT / name, "wb") as file:
        pickle.dump([pair(entry) for entry in zip(PATHS, embeddings)], file, **options)


class Derived(torch.Tensor):
    pass


noted = row(0)
noted.note = "with an attribute"
columns = torch.stack([torch.from_numpy(values(n)) for n in range(3)], dim=1)  # strides 3

write("article.pkl", [row(n) for n in range(3)])
write("tuples_flat_protocol2.pkl", [row(n)[0] for n in range(3)], tuple, protocol=2)
write("protocol5.pkl", [row(n).requires_grad_() for n in range(3)], protocol=5)
write("kinds.pkl", [noted, torch.nn.Parameter(row(1)), row(2).as_subclass(Derived)])
write("types.pkl", [row(0).half(), row(1).double(), row(2).bfloat16()])
write("views.pkl", [columns[:, n] for n in range(3)])
write("numpy.pkl", [values(0), values(1).reshape(1, 512).astype(np.float64), values(2).astype(np.float16)])
write("numpy_protocol5.pkl", [values(0), np.asfortranarray(values(1).reshape(1, 512)), values(2)], protocol=5)


class Evil:
    def __reduce__(self):
        import os
        return os.system, ("touch /tmp/adaface-representations-ran",)


class EvilStorage:
    """Bytes that torch.load would run."""

    def __reduce__(self):
        head = b"".join(pickle.dumps(part, protocol=2) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
        return torch.storage._load_from_bytes, (head + pickle.dumps(Evil(), protocol=2),)


write("evil.pkl", [Evil(), row(1), row(2)])
write("evil_storage.pkl", [EvilStorage(), row(1), row(2)])
