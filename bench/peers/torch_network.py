"""A network of network.py as a PyTorch module."""
import torch
from torch import nn
from torch.nn import functional

import network as networks


class TorchNetwork(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network
        self.values = nn.ParameterDict()
        self.keys = {}
        for node in network.nodes:
            keys = []
            for i, values in enumerate(node.tensors):
                key = None if values is None else f"{node.name}.{i}".replace(".", "_")
                if key:
                    self.values[key] = nn.Parameter(torch.from_numpy(values.copy()), requires_grad=False)
                keys.append(key)
            self.keys[node.name] = keys
        self.eval()

    def compute(self, node, inputs, values):
        x = inputs[0]
        if node.op == "conv":
            return functional.conv2d(x, *values, node.attributes["stride"], node.attributes["pad"])
        if node.op == "bn":
            scale, shift, mean, variance = values
            return functional.batch_norm(x, mean, variance, scale, shift, eps=networks.EPSILON)
        if node.op == "prelu":
            return functional.prelu(x, values[0])
        if node.op == "add":
            return x + inputs[1]
        if node.op == "pool":
            return functional.max_pool2d(x, node.attributes["kernel"], node.attributes["stride"],
                                         ceil_mode=node.attributes["ceil"])
        if node.op == "flatten":
            return torch.flatten(x, 1)
        if node.op == "linear":
            return functional.linear(x, *values)
        return torch.softmax(x, 1)

    def forward(self, x):
        known = {self.network.input: x}
        for node in self.network.nodes:
            values = [None if key is None else self.values[key] for key in self.keys[node.name]]
            known[node.output] = self.compute(node, [known[name] for name in node.inputs], values)
        outputs = [known[name] for name in self.network.outputs]
        return outputs[0] if len(outputs) == 1 else outputs
