"""The networks as a list of nodes: the one description from which ONNX, ncnn and PyTorch versions are made."""
import dataclasses

import numpy as np

EPSILON = 1e-5
UNITS = {"ir_18": (2, 2, 2, 2), "ir_34": (3, 4, 6, 3), "ir_50": (3, 4, 14, 3), "ir_101": (3, 13, 30, 3)}
WIDTHS = (64, 128, 256, 512)


@dataclasses.dataclass
class Node:
    """op: conv (weight, bias or None; stride, pad), bn (scale, shift, mean, variance), prelu (slope), add,
    pool (maximum; kernel, stride, ceil), flatten, linear (weight, bias), softmax (over channels)."""
    op: str
    name: str
    inputs: tuple
    tensors: tuple = ()
    attributes: dict = dataclasses.field(default_factory=dict)

    @property
    def output(self):  # a node's output has the node's name
        return self.name


@dataclasses.dataclass
class Network:
    nodes: list
    outputs: tuple
    input: str = "input"


def iresnet(weights):
    """{N,3,112,112} -> {N,512}, before normalisation; batch norms as they were trained."""
    if weights.architecture not in UNITS:
        raise ValueError(f"{weights.architecture}: expected one of {', '.join(UNITS)}")
    tensors, nodes = weights.tensors, []

    def add(op, name, *inputs, values=(), **attributes):
        nodes.append(Node(op, name, inputs, tuple(values), attributes))
        return name

    def conv(name, x, stride, pad):
        return add("conv", name, x, values=(tensors[name + ".weight"], None), stride=stride, pad=pad)

    def norm(name, x):
        mean, variance = tensors[name + ".mean"], tensors[name + ".variance"]
        scale = tensors.get(name + ".weight", np.ones_like(mean))  # the last one has neither
        shift = tensors.get(name + ".bias", np.zeros_like(mean))
        return add("bn", name, x, values=(scale, shift, mean, variance))

    def prelu(name, x):
        return add("prelu", name, x, values=(tensors[name + ".weight"],))

    x = prelu("stem.prelu", norm("stem.bn", conv("stem.conv", "input", 1, 1)))
    width = WIDTHS[0]
    for stage, count in enumerate(UNITS[weights.architecture]):
        for index in range(count):
            unit, stride = f"stage{stage + 1}.unit{index:02}", 2 if index == 0 else 1
            y = norm(unit + ".bn1", x)
            y = prelu(unit + ".prelu", norm(unit + ".bn2", conv(unit + ".conv1", y, 1, 1)))
            y = norm(unit + ".bn3", conv(unit + ".conv2", y, stride, 1))
            if width != WIDTHS[stage]:
                x = norm(unit + ".shortcut.bn", conv(unit + ".shortcut.conv", x, stride, 0))
            elif stride > 1:
                x = add("pool", unit + ".shortcut", x, kernel=1, stride=stride, ceil=False)
            x = add("add", unit, y, x)
            width = WIDTHS[stage]
    x = add("flatten", "flatten", norm("head.bn1", x))
    x = add("linear", "head.linear", x, values=(tensors["head.linear.weight"], tensors["head.linear.bias"]))
    return Network(nodes, (norm("head.bn2", x),))


# Trunk of each net: convolution's kernel is in its weight; the number is the pool's kernel after it, or 0.
TRUNKS = {"pnet": (2, 0, 0), "rnet": (3, 3, 0), "onet": (3, 3, 2, 0)}


def mtcnn(weights, net):
    """P-, R- or O-Net. The heads, in this order: scores {N,2,...} (softmax over the two), offsets, landmarks.
    P-Net has no softmax: the published code takes it over another axis than the mended one."""
    tensors, nodes = weights.tensors, []

    def add(op, name, x, *values, **attributes):
        nodes.append(Node(op, name, (x,), values, attributes))
        return name

    def pair(name):
        return tensors[f"{net}.{name}.weight"], tensors[f"{net}.{name}.bias"]

    x, flat = "input", net == "pnet"
    for index, pool in enumerate(TRUNKS[net], 1):
        x = add("conv", f"conv{index}", x, *pair(f"conv{index}"), stride=1, pad=0)
        x = add("prelu", f"prelu{index}", x, tensors[f"{net}.prelu{index}.weight"])
        if pool:
            x = add("pool", f"pool{index}", x, kernel=pool, stride=2, ceil=True)
    if not flat:
        index += 1
        weight, bias = pair(f"linear{index}")
        channels = tensors[f"{net}.conv{index - 1}.weight"].shape[0]
        side = round((weight.shape[1] / channels) ** 0.5)
        # trained on channel, column, row; flatten gives channel, row, column
        weight = weight.reshape(-1, channels, side, side).transpose(0, 1, 3, 2).reshape(weight.shape)
        x = add("flatten", "flatten", x)
        x = add("linear", f"linear{index}", x, np.ascontiguousarray(weight), bias)
        x = add("prelu", f"prelu{index}", x, tensors[f"{net}.prelu{index}.weight"])
    outputs = []
    for head in ("score", "offset", "landmark"):
        if f"{net}.{head}.weight" in tensors:
            y = add("conv", head, x, *pair(head), stride=1, pad=0) if flat else add("linear", head, x, *pair(head))
            outputs.append(add("softmax", "probability", y) if head == "score" and not flat else y)
    return Network(nodes, tuple(outputs))


def fold(network):
    """Batch norms after convolutions and linear layers go into them, in double: what every converter does."""
    uses = {}
    for node in network.nodes:
        for name in node.inputs:
            uses[name] = uses.get(name, 0) + 1
    folded, renamed = [], {}
    for node in network.nodes:
        node = dataclasses.replace(node, inputs=tuple(renamed.get(name, name) for name in node.inputs))
        last = next((n for n in folded if n.name == node.inputs[0]), None) if node.op == "bn" else None
        if last is None or last.op not in ("conv", "linear") or uses[last.name] > 1:
            folded.append(node)
            continue
        scale, shift, mean, variance = (values.astype(np.float64) for values in node.tensors)
        factor = scale / np.sqrt(variance + EPSILON)
        weight, bias = last.tensors
        weight = weight * factor.reshape((-1,) + (1,) * (weight.ndim - 1))
        bias = shift + ((0 if bias is None else bias) - mean) * factor
        last.tensors = (weight.astype(np.float32), bias.astype(np.float32))
        renamed[node.name] = last.name
    return Network(folded, tuple(renamed.get(name, name) for name in network.outputs))
