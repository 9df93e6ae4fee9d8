"""MTCNN the way the published Python pipeline runs it: PyTorch networks, Pillow resizes, numpy in between; one
pyramid level after the other, the candidates of R-Net and O-Net as one batch each. Softmax over image columns in mode
"reference", as published, over the two classes in mode "standard"."""
import math

import numpy as np
import torch
from PIL import Image

import boxes as geometry
import network as networks
from torch_network import TorchNetwork

SCORES = (0.6, 0.7, 0.9)
OVERLAPS = (0.7, 0.7, 0.7)
LEVEL_OVERLAP = 0.5


def prepared(pixels):
    planes = np.expand_dims(np.asarray(pixels, np.float32).transpose(2, 0, 1), 0)
    return (planes - 127.5) * 0.0078125


class PublishedMtcnn:
    def __init__(self, weights, mode="reference", array_per_candidate=False):
        """array_per_candidate: the whole picture becomes an array anew for every candidate, as in the published
        loop; without, once for each stage."""
        self.nets = [TorchNetwork(networks.mtcnn(weights, net)) for net in ("pnet", "rnet", "onet")]
        self.columns = mode == "reference"
        self.array_per_candidate = array_per_candidate

    def proposals(self, image, scale):
        size = math.ceil(image.width * scale), math.ceil(image.height * scale)
        level = torch.from_numpy(prepared(image.resize(size, Image.BILINEAR)))
        scores, offsets = self.nets[0](level)
        scores = torch.softmax(scores, 3 if self.columns else 1)
        cells = geometry.cell_boxes(scores.numpy()[0, 1], offsets.numpy()[0], scale, SCORES[0])
        return cells[geometry.suppress(cells[:, :5], LEVEL_OVERLAP)]

    def crops(self, image, candidates, size):
        """Black outside the image. Returns the batch and the candidates clipped to the image."""
        inside = geometry.clipped(candidates, image.width, image.height)
        batch = np.empty((len(candidates), 3, size, size), np.float32)
        pixels = np.asarray(image)
        for i in range(len(candidates)):
            if self.array_per_candidate:
                pixels = np.asarray(image)
            left, top, right, bottom = candidates[i, :4].astype(int)
            x1, y1, x2, y2 = inside[i, :4].astype(int)
            crop = np.zeros((bottom - top + 1, right - left + 1, 3), np.uint8)
            crop[y1 - top:y2 - top + 1, x1 - left:x2 - left + 1] = pixels[y1:y2 + 1, x1:x2 + 1]
            batch[i] = prepared(Image.fromarray(crop).resize((size, size), Image.BILINEAR))[0]
        return torch.from_numpy(batch), inside

    def detect(self, image):
        """Rows (x1, y1, x2, y2, score, five points), best first."""
        with torch.no_grad():
            return self.cascade(image)

    def cascade(self, image):
        nothing = np.empty((0, 15))
        found = [self.proposals(image, scale) for scale in geometry.pyramid(image.width, image.height)]
        cells = np.vstack(found) if found else np.empty((0, 9))
        cells = cells[geometry.suppress(cells[:, :5], OVERLAPS[0])]
        candidates = geometry.squared(geometry.moved(cells[:, :5], cells[:, 5:]))
        if not len(candidates):
            return nothing

        batch, candidates = self.crops(image, candidates, 24)
        scores, offsets = (values.numpy() for values in self.nets[1](batch))
        passed = np.where(scores[:, 1] > SCORES[1])[0]
        candidates, offsets = candidates[passed], offsets[passed]
        candidates[:, 4] = scores[passed, 1]
        kept = geometry.suppress(candidates, OVERLAPS[1])
        candidates = geometry.squared(geometry.moved(candidates[kept], offsets[kept]))
        if not len(candidates):
            return nothing

        batch, candidates = self.crops(image, candidates, 48)
        scores, offsets, points = (values.numpy() for values in self.nets[2](batch))
        passed = np.where(scores[:, 1] > SCORES[2])[0]
        candidates, offsets = candidates[passed], offsets[passed]
        candidates[:, 4] = scores[passed, 1]
        points = geometry.landmarks(candidates, points[passed])
        faces = geometry.moved(candidates, offsets)
        kept = geometry.suppress(faces, OVERLAPS[2], smaller=True)
        return np.hstack([faces, points])[kept]
