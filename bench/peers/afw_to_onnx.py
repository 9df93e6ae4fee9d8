"""Writes an IR network of an .afw file as ONNX, as a framework in evaluation mode would export it:
    afw_to_onnx.py ir_101.afw ir_101.onnx [--batch N]
Input "input" {N,3,112,112} float32, colours in the order that the file states; output {N,512}, not normalised."""
import argparse

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import afw
import network as networks

OPSET = 17
OPERATORS = {"conv": "Conv", "bn": "BatchNormalization", "prelu": "PRelu", "add": "Add", "pool": "MaxPool",
             "flatten": "Flatten", "linear": "Gemm", "softmax": "Softmax"}


def attributes_of(node):
    if node.op == "conv":
        kernel = list(node.tensors[0].shape[2:])
        return {"kernel_shape": kernel, "strides": [node.attributes["stride"]] * 2,
                "pads": [node.attributes["pad"]] * 4}
    if node.op == "pool":
        return {"kernel_shape": [node.attributes["kernel"]] * 2, "strides": [node.attributes["stride"]] * 2,
                "ceil_mode": int(node.attributes["ceil"])}
    return {"bn": {"epsilon": networks.EPSILON}, "flatten": {"axis": 1}, "linear": {"transB": 1},
            "softmax": {"axis": 1}}.get(node.op, {})


def rank_of(network, name):
    """4, or 2 behind flatten."""
    while name != network.input:
        node = next(n for n in network.nodes if n.name == name)
        if node.op in ("flatten", "linear"):
            return 2
        name = node.inputs[0]
    return 4


def to_onnx(network, shape):
    """shape of the input; a string in it is a free dimension."""
    nodes, initializers = [], []
    for node in network.nodes:
        names = []
        for i, values in enumerate(node.tensors):
            if values is None:
                continue
            if node.op == "prelu" and rank_of(network, node.inputs[0]) == 4:
                values = values.reshape(-1, 1, 1)
            names.append(f"{node.name}.{i}")
            initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), names[-1]))
        nodes.append(helper.make_node(OPERATORS[node.op], [*node.inputs, *names], [node.output], name=node.name,
                                      **attributes_of(node)))
    graph = helper.make_graph(
        nodes, "adaface", [helper.make_tensor_value_info(network.input, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in network.outputs], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="adaface")
    model.ir_version = 8
    model = onnx.shape_inference.infer_shapes(model)
    onnx.checker.check_model(model)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights")
    parser.add_argument("output")
    parser.add_argument("--batch", type=int, default=1)
    arguments = parser.parse_args()
    network = networks.iresnet(afw.read(arguments.weights))
    onnx.save(to_onnx(network, [arguments.batch, 3, 112, 112]), arguments.output)


if __name__ == "__main__":
    main()
