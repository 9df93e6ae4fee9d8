"""The IR network in each peer. A peer is made from a folder that compare.py has filled (net.onnx of the wanted batch,
net.param and net.bin, weights.afw) and has run() -> {N,512} for the crops, and words on what was chosen. Where a peer
has several ways, it times them and keeps the fastest: see fastest()."""
import os
import time

import numpy as np


def normalised_input(pixels):
    """{N,112,112,3} uint8 -> {N,3,112,112} float32 in [-1, 1], channels in the order of the pixels."""
    values = ((pixels.astype(np.float64) / 255 - 0.5) / 0.5).astype(np.float32)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


ROUNDS, ROUNDS_S = 5, 20


def fastest(variants, threads):
    """variants: name -> function that makes a runner. They run in turns, 5 times or until 20 s have passed; returns
    (name, runner) of the least time, of one thread's CPU where there is one: neighbours disturb that less. Those that a
    peer refuses are left out."""
    clock = time.process_time if threads == 1 else time.perf_counter
    runners, least, failures = {}, {}, []
    for name, make in variants.items():
        try:
            runners[name] = make()
            runners[name]()
            least[name] = float("inf")
        except Exception as error:
            runners.pop(name, None)
            failures.append(f"{name}: {error}")
    if not runners:
        raise RuntimeError("; ".join(failures))
    begin = time.perf_counter()
    for i in range(ROUNDS if len(runners) > 1 else 0):
        if i > 0 and time.perf_counter() - begin > ROUNDS_S:
            break
        for name, runner in runners.items():
            start = clock()
            runner()
            least[name] = min(least[name], clock() - start)
    best = min(runners, key=least.get)
    return best, runners[best]


class OnnxRuntime:
    precisions = ("f32", "int8")

    def __init__(self, folder, x, threads, precision):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        name = "net.int8.onnx" if precision == "int8" else "net.onnx"
        self.session = onnxruntime.InferenceSession(os.path.join(folder, name), options,
                                                    providers=["CPUExecutionProvider"])
        self.x, self.version, self.variant = x, onnxruntime.__version__, ""

    def run(self):
        return self.session.run(None, {"input": self.x})[0]


class OpenVino:
    precisions = ("f32", "bf16", "int8")

    def __init__(self, folder, x, threads, precision):
        import openvino
        core = openvino.Core()
        name = "net.int8.onnx" if precision == "int8" else "net.onnx"
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads,
                    "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32", "ENABLE_CPU_PINNING": False}
        self.request = core.compile_model(os.path.join(folder, name), "CPU", settings).create_infer_request()
        self.x, self.version, self.variant = x, openvino.__version__.split("-")[0], ""

    def run(self):
        return self.request.infer({0: self.x}, share_inputs=True)[0]


class Ncnn:
    """No batch: the crops run one after the other."""
    precisions = ("f32", "bf16")

    def __init__(self, folder, x, threads, precision):
        import ncnn
        self.ncnn, self.version = ncnn, ncnn.__version__
        self.stem, self.threads, self.precision = os.path.join(folder, "net"), threads, precision
        self.crops = [ncnn.Mat(crop).clone() for crop in x]
        self.variant, self.run = fastest({
            "Winograd": lambda: self.runner(),
            "Winograd up to 4x4": lambda: self.runner(use_winograd63_convolution=False),
            "without Winograd": lambda: self.runner(use_winograd_convolution=False)}, threads)

    def runner(self, **options):
        net = self.ncnn.Net()
        narrow = self.precision == "bf16"
        options |= {"num_threads": self.threads, "use_packing_layout": True, "use_sgemm_convolution": True,
                    "use_fp16_packed": False, "use_fp16_storage": False, "use_fp16_arithmetic": False,
                    "use_bf16_storage": narrow, "use_bf16_packed": narrow}
        for name, value in options.items():
            if hasattr(net.opt, name):
                setattr(net.opt, name, value)
        if net.load_param(self.stem + ".param") or net.load_model(self.stem + ".bin"):
            raise RuntimeError("ncnn could not load the network")

        def run():
            rows = []
            for crop in self.crops:
                extractor = net.create_extractor()
                extractor.input("input", crop)
                rows.append(np.array(extractor.extract("head.linear")[1]))
            return np.stack(rows)
        return run


class PyTorch:
    """Convolutions with their batch norms folded in: quicker than the exported network as it is."""
    precisions = ("f32", "bf16")

    def __init__(self, folder, x, threads, precision):
        import torch

        import afw
        import network as networks
        from torch_network import TorchNetwork
        self.torch, self.version = torch, torch.__version__.split("+")[0]
        torch.set_num_threads(threads)
        network = networks.fold(networks.iresnet(afw.read(os.path.join(folder, "weights.afw"))))
        self.x, self.type = torch.from_numpy(x), torch.bfloat16 if precision == "bf16" else torch.float32
        self.make = lambda layout: TorchNetwork(network).to(self.type).to(memory_format=layout)
        variants = {"eager, channels last": lambda: self.call(self.make(torch.channels_last), torch.channels_last),
                    "frozen TorchScript": lambda: self.frozen(torch.contiguous_format),
                    "frozen TorchScript, channels last": lambda: self.frozen(torch.channels_last)}
        if os.environ.get("PEERS_TORCH_COMPILE"):  # a minute or two for each worker
            variants["torch.compile"] = self.compiled
        self.variant, self.run = fastest(variants, threads)

    def input(self, layout):
        return self.x.to(self.type).contiguous(memory_format=layout)

    def call(self, net, layout):
        def run():
            with self.torch.inference_mode():
                return net(self.input(layout)).float().numpy()
        run()
        return run

    def frozen(self, layout):
        with self.torch.no_grad():
            net = self.torch.jit.freeze(self.torch.jit.trace(self.make(layout), self.input(layout)))
        run = self.call(net, layout)  # the first two calls specialise it
        run()
        return run

    def compiled(self):
        """With constants frozen: pointwise layers are fused and weights packed for oneDNN."""
        import torch._inductor.config as inductor
        inductor.freezing = True
        layout = self.torch.contiguous_format
        return self.call(self.torch.compile(self.make(layout)), layout)


class OpenCv:
    precisions = ("f32",)

    def __init__(self, folder, x, threads, precision):
        import cv2
        cv2.setNumThreads(threads)
        self.cv2, self.version, self.x = cv2, cv2.__version__, x
        path = os.path.join(folder, "net.onnx")
        variants = {}
        for engine in ("ENGINE_CLASSIC", "ENGINE_NEW"):  # OpenCV 5 has two
            if hasattr(cv2.dnn, engine):
                value = getattr(cv2.dnn, engine)
                variants[engine] = lambda value=value: self.runner(path, value)
        self.variant, self.run = fastest(variants or {"": lambda: self.runner(path)}, threads)

    def runner(self, path, *engine):
        net = self.cv2.dnn.readNetFromONNX(path, *engine)

        def run():
            net.setInput(self.x)
            return net.forward()
        return run


PEERS = {"onnxruntime": OnnxRuntime, "openvino": OpenVino, "ncnn": Ncnn, "pytorch": PyTorch, "opencv": OpenCv}
