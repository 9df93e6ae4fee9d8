"""Writes a folded network in ncnn's two files, what its own converter and optimiser would make of the ONNX file."""
import struct

import numpy as np

import network as networks

LAYERS = {"conv": "Convolution", "bn": "BatchNorm", "prelu": "PReLU", "add": "BinaryOp", "pool": "Pooling",
          "flatten": "Flatten", "linear": "InnerProduct", "softmax": "Softmax"}
RAW_FLOAT32 = struct.pack("<I", 0)  # stands before weights that could be stored narrower


def parameters_of(node):
    """ncnn's numbered parameters, and the bytes of the weights in the order that the layer reads them."""
    floats = [b"" if values is None else np.ascontiguousarray(values, np.float32).tobytes() for values in node.tensors]
    if node.op == "conv":
        weight, bias = node.tensors
        return ({0: weight.shape[0], 1: weight.shape[3], 11: weight.shape[2], 3: node.attributes["stride"],
                 4: node.attributes["pad"], 5: int(bias is not None), 6: weight.size}, RAW_FLOAT32 + b"".join(floats))
    if node.op == "linear":
        weight = node.tensors[0]
        return {0: weight.shape[0], 1: 1, 2: weight.size}, RAW_FLOAT32 + b"".join(floats)
    if node.op == "bn":
        scale, shift, mean, variance = floats
        return {0: node.tensors[0].size, 1: f"{networks.EPSILON:e}"}, scale + mean + variance + shift
    if node.op == "prelu":
        return {0: node.tensors[0].size}, floats[0]
    if node.op == "pool":  # padding mode 0 adds what a last partial window needs, 1 drops that window
        return ({0: 0, 1: node.attributes["kernel"], 2: node.attributes["stride"],
                 5: 0 if node.attributes["ceil"] else 1}, b"")
    return {"add": {0: 0}, "softmax": {0: 0, 1: 1}}.get(node.op, {}), b""


def write_ncnn(network, stem):
    """stem.param and stem.bin. A value with several readers is split, as ncnn wants it."""
    readers = {}
    for node in network.nodes:
        for name in node.inputs:
            readers[name] = readers.get(name, 0) + 1
    lines, blobs, taken, weights = [], set(), {}, []

    def layer(kind, name, inputs, outputs, parameters):
        blobs.update(outputs)
        lines.append(" ".join([kind, name, str(len(inputs)), str(len(outputs)), *inputs, *outputs,
                               *(f"{key}={value}" for key, value in parameters.items())]))

    def split(name):
        if readers.get(name, 0) > 1:
            layer("Split", f"{name}.split", [name], [f"{name}.{i}" for i in range(readers[name])], {})

    def reader_of(name):
        if readers[name] == 1:
            return name
        taken[name] = taken.get(name, -1) + 1
        return f"{name}.{taken[name]}"

    layer("Input", network.input, [], [network.input], {})
    split(network.input)
    for node in network.nodes:
        parameters, values = parameters_of(node)
        layer(LAYERS[node.op], node.name, [reader_of(name) for name in node.inputs], [node.output], parameters)
        weights.append(values)
        split(node.output)
    with open(f"{stem}.param", "w", encoding="ascii") as file:
        file.write("\n".join(["7767517", f"{len(lines)} {len(blobs)}", *lines, ""]))
    with open(f"{stem}.bin", "wb") as file:
        file.writelines(weights)
