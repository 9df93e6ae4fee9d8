#!/usr/bin/env python3
"""Writes embed_pattern.json: float64 embeddings of a made-up picture by the untrained networks (seed 1).

    PYTHONPATH=DIRECTORY_OF_irnet_AND_synthetic python3 embed_pattern.py > embed_pattern.json
"""
import json

import numpy as np
import torch
from irnet import UNITS, IRNet
from synthetic import fill

y, x, c = np.meshgrid(np.arange(112), np.arange(112), np.arange(3), indexing="ij")
rgb = (7 * x + 13 * y + 5 * x * y + 80 * c) % 256
bgr = ((rgb[:, :, ::-1] / 255.0 - 0.5) / 0.5).astype(np.float32)
crop = torch.from_numpy(bgr.transpose(2, 0, 1)[None].copy()).double()
out = {}
for arch in UNITS:
    with torch.no_grad():
        unit, norm = fill(IRNet(arch), 1).double()(crop)
    out[arch] = {"norm": float(norm), "embedding": [float(f"{v:.9g}") for v in unit[0]]}
print(json.dumps(out))
