"""MTCNN as the quick implementations have it (the mended softmax, this engine's settings): OpenCV's bilinear resizes
straight from the picture, one blob for each level, suppression in C++, candidates as one batch, and the three
networks in one of several runtimes."""
import math
import os

import cv2
import numpy as np

import boxes as geometry

SCORES = (0.6, 0.7, 0.9)
OVERLAPS = (0.7, 0.7, 0.7)
LEVEL_OVERLAP = 0.5
OUTPUTS = {"pnet": ["score", "offset"], "rnet": ["probability", "offset"],
           "onet": ["probability", "offset", "landmark"]}


class OnnxRuntimeNet:
    def __init__(self, folder, net, threads):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(os.path.join(folder, net + ".onnx"), options,
                                                    providers=["CPUExecutionProvider"])

    def __call__(self, x):
        return self.session.run(None, {"input": x})


class OpenCvNet:
    def __init__(self, folder, net, threads):
        self.net = cv2.dnn.readNetFromONNX(os.path.join(folder, net + ".onnx"))
        self.names = OUTPUTS[net]

    def __call__(self, x):
        self.net.setInput(x)
        return self.net.forward(self.names)


class OpenVinoNet:
    """One network for each shape of P-Net's, made the first time; one of any batch for the others."""
    def __init__(self, folder, net, threads):
        import openvino
        self.core, self.path, self.static = openvino.Core(), os.path.join(folder, net + ".onnx"), net == "pnet"
        self.settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads,
                         "INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}
        self.requests = {}

    def __call__(self, x):
        key = x.shape if self.static else None
        if key not in self.requests:
            model = self.core.read_model(self.path)
            if self.static:
                model.reshape(x.shape)
            self.requests[key] = self.core.compile_model(model, "CPU", self.settings).create_infer_request()
        results = self.requests[key].infer({0: x})
        return [results[i] for i in range(len(results))]


class NcnnNet:
    """No batch: candidates run one after the other."""
    def __init__(self, folder, net, threads):
        import ncnn
        self.ncnn, self.net = ncnn, ncnn.Net()
        self.net.opt.num_threads = threads
        stem = os.path.join(folder, net)
        if self.net.load_param(stem + ".param") or self.net.load_model(stem + ".bin"):
            raise RuntimeError("ncnn could not load the network")
        self.names = OUTPUTS[net]

    def __call__(self, x):
        rows = []
        for one in x:
            extractor = self.net.create_extractor()
            extractor.input("input", self.ncnn.Mat(one))
            rows.append([np.array(extractor.extract(name)[1]) for name in self.names])
        return [np.stack(values) for values in zip(*rows)]


RUNTIMES = {"onnxruntime": OnnxRuntimeNet, "opencv": OpenCvNet, "openvino": OpenVinoNet, "ncnn": NcnnNet}


def suppress(boxes, threshold):
    corners = boxes[:, :4].copy()
    corners[:, 2:] += 1 - corners[:, :2]
    return np.asarray(cv2.dnn.NMSBoxes(corners, boxes[:, 4], 0.0, threshold), int).reshape(-1)


class QuickMtcnn:
    def __init__(self, folder, runtime, threads):
        cv2.setNumThreads(threads)
        self.pnet, self.rnet, self.onet = (RUNTIMES[runtime](folder, net, threads) for net in ("pnet", "rnet", "onet"))

    def proposals(self, pixels, scale):
        height, width = pixels.shape[:2]
        size = math.ceil(width * scale), math.ceil(height * scale)
        level = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
        scores, offsets = self.pnet(cv2.dnn.blobFromImage(level, 0.0078125, mean=(127.5,) * 3))
        faces = 1 / (1 + np.exp(scores[0, 0] - scores[0, 1]))  # softmax over two
        cells = geometry.cell_boxes(faces, offsets[0], scale, SCORES[0])
        return cells[suppress(cells, LEVEL_OVERLAP)] if len(cells) else cells

    def crops(self, pixels, candidates, size):
        height, width = pixels.shape[:2]
        inside, crops = geometry.clipped(candidates, width, height), []
        for (left, top, right, bottom), (x1, y1, x2, y2) in zip(candidates[:, :4].astype(int).tolist(),
                                                                inside[:, :4].astype(int).tolist()):
            crop = pixels[y1:y2 + 1, x1:x2 + 1]
            if (left, top, right, bottom) != (x1, y1, x2, y2):
                crop = cv2.copyMakeBorder(crop, y1 - top, bottom - y2, x1 - left, right - x2, cv2.BORDER_CONSTANT)
            crops.append(cv2.resize(crop, (size, size), interpolation=cv2.INTER_LINEAR))
        return cv2.dnn.blobFromImages(crops, 0.0078125, mean=(127.5,) * 3), inside

    def detect(self, pixels):
        """{rows, columns, 3} RGB -> rows (x1, y1, x2, y2, score, five points), best first."""
        height, width = pixels.shape[:2]
        nothing = np.empty((0, 15))
        found = [self.proposals(pixels, scale) for scale in geometry.pyramid(width, height)]
        cells = np.vstack(found) if found else np.empty((0, 9))
        if not len(cells):
            return nothing
        cells = cells[suppress(cells, OVERLAPS[0])]
        candidates = geometry.squared(geometry.moved(cells[:, :5], cells[:, 5:]))

        batch, candidates = self.crops(pixels, candidates, 24)
        scores, offsets = self.rnet(batch)
        passed = np.where(scores[:, 1] > SCORES[1])[0]
        if not len(passed):
            return nothing
        candidates, offsets = candidates[passed], offsets[passed]
        candidates[:, 4] = scores[passed, 1]
        kept = suppress(candidates, OVERLAPS[1])
        candidates = geometry.squared(geometry.moved(candidates[kept], offsets[kept]))

        batch, candidates = self.crops(pixels, candidates, 48)
        scores, offsets, points = self.onet(batch)
        passed = np.where(scores[:, 1] > SCORES[2])[0]
        if not len(passed):
            return nothing
        candidates, offsets = candidates[passed], offsets[passed]
        candidates[:, 4] = scores[passed, 1]
        faces = np.hstack([geometry.moved(candidates, offsets), geometry.landmarks(candidates, points[passed])])
        return faces[geometry.suppress(faces[:, :5], OVERLAPS[2], smaller=True)]
