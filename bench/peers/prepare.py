"""The files that the peers read, made once from the weights: ONNX and ncnn networks, quantised copies, the crops."""
import os
import pathlib

import numpy as np
import onnx
from PIL import Image

import afw
import network as networks
from afw_to_ncnn import write_ncnn
from afw_to_onnx import to_onnx

CROP = 112
CROPS = 16
MTCNN_SHAPES = {"pnet": [1, 3, "rows", "columns"], "rnet": ["batch", 3, 24, 24], "onet": ["batch", 3, 48, 48]}


def link(target, name):
    name.unlink(missing_ok=True)
    name.symlink_to(os.path.abspath(target))


def write_crops(pictures, path, color):
    """The middles of pictures, 16 of them, as 8-bit pixels in the network's order."""
    paths = sorted(p for p in pathlib.Path(pictures).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not paths:
        raise FileNotFoundError(f"{pictures}: no pictures for --crops")
    crops = []
    for i in range(CROPS):
        image = Image.open(paths[i % len(paths)]).convert("RGB")
        side = min(image.size) * 2 // 3
        left, top = (image.width - side) // 2, (image.height - side) // 2
        crop = np.asarray(image.resize((CROP, CROP), Image.BILINEAR, (left, top, left + side, top + side)))
        crops.append(crop if color == "rgb" else crop[:, :, ::-1])
    pixels = np.stack(crops)
    pixels.tofile(path)
    return pixels


def quantise(source, target, pixels):
    """8-bit weights and activations, calibrated on the crops: what ONNX Runtime offers below float32 on x86. source:
    batch 1."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from embed_peers import normalised_input

    class Crops(CalibrationDataReader):
        def __init__(self):
            self.crops = iter(pixels)

        def get_next(self):
            crop = next(self.crops, None)
            return None if crop is None else {"input": normalised_input(crop[None])}

    folded = target.with_suffix(".tmp")
    quant_pre_process(str(source), str(folded))
    quantize_static(str(folded), str(target), Crops(), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                    op_types_to_quantize=["Conv", "Gemm"])
    folded.unlink()


def rebatch(source, target, batch):
    model = onnx.load(source)
    del model.graph.value_info[:]
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    onnx.save(model, target)


def embedding_folder(work, model, batch, pictures, quantised):
    """Files for one batch size, in a folder named after the weights; those there already are kept."""
    folder = pathlib.Path(work) / f"{pathlib.Path(model).stem}-{afw.identity(model)}" / f"batch{batch}"
    folder.mkdir(parents=True, exist_ok=True)
    link(model, folder / "weights.afw")
    if not (folder / "net.bin").exists():
        weights = afw.read(model)
        network = networks.iresnet(weights)
        write_crops(pictures, folder / "crops.raw", weights.color)
        onnx.save(to_onnx(network, [batch, 3, CROP, CROP]), folder / "net.onnx")
        write_ncnn(networks.fold(network), folder / "net")
    if quantised and not (folder / "net.int8.onnx").exists():
        if batch == 1:
            pixels = np.fromfile(folder / "crops.raw", np.uint8).reshape(-1, CROP, CROP, 3)
            quantise(folder / "net.onnx", folder / "net.int8.onnx", pixels)
        else:
            single = embedding_folder(work, model, 1, pictures, True)
            rebatch(single / "net.int8.onnx", folder / "net.int8.onnx", batch)
    return folder


def detection_folder(work, detector):
    folder = pathlib.Path(work) / "mtcnn"
    folder.mkdir(parents=True, exist_ok=True)
    link(detector, folder / "mtcnn.afw")
    weights = afw.read(detector)
    for name, shape in MTCNN_SHAPES.items():
        network = networks.mtcnn(weights, name)
        onnx.save(to_onnx(network, shape), folder / f"{name}.onnx")
        write_ncnn(network, folder / name)
    return folder
