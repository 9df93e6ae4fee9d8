#!/usr/bin/env python3
"""Makes the small checkpoints of this folder with PyTorch and NumPy; run only to renew them.

Their tensors hold small integers and halves, exact in every floating type: element i of tensor number n is
((i * 7 + n) % 61 - 30) / 2.
"""
import collections
import json
import os
import pathlib
import pickle
import struct
import sys
import types
import zipfile

import numpy as np
import torch

OUT = pathlib.Path(__file__).parent


def values(number, *shape):
    count = int(np.prod(shape))
    flat = ((np.arange(count) * 7 + number) % 61 - 30) / 2
    return torch.from_numpy(flat.astype(np.float32)).reshape(shape)


def state():
    return collections.OrderedDict(
        [("input_layer.0.weight", values(0, 4, 3, 3, 3)), ("body.0.weight", values(1, 5)),
         ("count", torch.tensor(1000))])


torch.save(state(), OUT / "bare.pt")
torch.save(state(), OUT / "legacy.pth", _use_new_zipfile_serialization=False)
torch.save({k: torch.nn.Parameter(v) if v.is_floating_point() else v for k, v in state().items()},
           OUT / "parameters.pt")
torch.save(state(), OUT / "protocol4.pt", pickle_protocol=4)

torch.save({"half": values(0, 3, 4).half(), "bfloat": values(1, 3, 4).bfloat16(),
            "double": values(2, 3, 4).double(), "single": values(3, 3, 4), "long": values(4, 3, 4).long(),
            "bool": values(5, 3, 4) > 0, "empty": torch.zeros(0, 3), "scalar": torch.tensor(1.5)},
           OUT / "dtypes.pt")

base = values(0, 6, 8)
torch.save({"base": base, "transposed": base.t(), "sliced": base[1:5:2, 2:7], "expanded": base[3].expand(4, 8),
            "row": base[2], "permuted": values(1, 2, 3, 4).permute(2, 0, 1),
            "channels_last": values(2, 2, 3, 4, 5).contiguous(memory_format=torch.channels_last)},
           OUT / "views.pt")


# A training run's checkpoint: classes that only its own program knows.
module = types.ModuleType("some_trainer.callbacks")
sys.modules["some_trainer"] = types.ModuleType("some_trainer")
sys.modules["some_trainer.callbacks"] = module
exec("""
class Checkpointer:
    def __init__(self): self.best = {"score": 0.5}; self.path = [1, 2]
class AttributeDict(dict):
    pass
""", module.__dict__)
optimizer = torch.optim.SGD([torch.nn.Parameter(values(9, 5))], lr=0.1, momentum=0.9)
optimizer.param_groups[0]["params"][0].grad = values(8, 5)
optimizer.step()
hyper = module.AttributeDict(arch="ir_18")
hyper["where"] = pathlib.PurePosixPath("/data")
torch.save({"epoch": 25, "callbacks": {module.Checkpointer: module.Checkpointer()},
            "optimizer_states": [optimizer.state_dict()], "hyper_parameters": hyper,
            "state_dict": collections.OrderedDict(("model." + k, v) for k, v in state().items())},
           OUT / "lightning.ckpt")
torch.save({"state_dict": module.AttributeDict(state())}, OUT / "opaque_state.ckpt")
strange = state()
strange["body.0.weight"] = module.Checkpointer()
torch.save(strange, OUT / "opaque_tensor.pt")


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/pickle_was_executed",)


torch.save({"callbacks": Evil(), "state_dict": state()}, OUT / "evil.ckpt")


class EvilEval:
    def __reduce__(self):
        return eval, ("1",)


torch.save({"state_dict": state(), "x": [EvilEval()]}, OUT / "evil_eval.ckpt")

tensors = {"input_layer.0.weight": values(0, 4, 3, 3, 3), "body.0.weight": values(1, 5).half(),
           "bfloat": values(2, 3).bfloat16()}
header, data = {"__metadata__": {"format": "pt"}}, b""
for name, tensor in tensors.items():
    raw = (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy().tobytes()
    kind = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}[tensor.dtype]
    header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
    data += raw
text = json.dumps(header, separators=(",", ":")).encode()
text += b" " * (-len(text) % 8)
(OUT / "three.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)

arrays = {"c_order": values(0, 3, 4).numpy(), "fortran": np.asfortranarray(values(1, 3, 4).numpy()),
          "double": values(2, 5).double().numpy(), "half": values(3, 2, 2).half().numpy()}
np.save(OUT / "dict.npy", arrays)
with open(OUT / "dict_protocol2.npy", "wb") as f:
    np.lib.format.write_array_header_1_0(f, {"descr": "|O", "fortran_order": False, "shape": ()})
    pickle.dump(np.array(arrays, dtype=object), f, protocol=2)

# For the pickle reader alone: what is inside the ZIPs, and plain data in every protocol.
(OUT / "pickles").mkdir(exist_ok=True)
for name in ("bare.pt", "views.pt", "dtypes.pt", "parameters.pt", "protocol4.pt", "lightning.ckpt", "evil.ckpt"):
    with zipfile.ZipFile(OUT / name) as archive:
        entry = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
        (OUT / "pickles" / (name + ".pkl")).write_bytes(archive.read(entry))
plain = {"a": [1, -2, 3.5, None, True, 1 << 40, 1 << 100], "b": (b"bytes", "text \u00e9", {"c": {1, 2}}), 7: ()}
for protocol in range(6):
    (OUT / "pickles" / f"plain{protocol}.pkl").write_bytes(pickle.dumps(plain, protocol=protocol))
