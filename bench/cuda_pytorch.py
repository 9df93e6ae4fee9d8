#!/usr/bin/env python3
"""This engine's CUDA backend beside PyTorch on the same device, in turns:
    cuda_pytorch.py --bench build/bench/bench_cuda --model ir_101.afw [--precision f16] [--batches 1,64,256]

PyTorch computes the same weights, channels last, batch norms folded into the convolutions before them, in these ways:
eager (cuDNN's algorithms found by trying), graph (eager, captured as a CUDA graph), compile and autotune (torch.compile
with mode="reduce-overhead" and "max-autotune", which capture CUDA graphs too). Autotuning may take many minutes and is
given up at --time-limit; a second run goes on from $TORCHINDUCTOR_CACHE_DIR. Ours runs in a process of its own,
`bench_cuda --serve`, and computes only when told to. Times are device events; a round is one turn of each, and a ratio
is taken within its round.

Ours goes from bytes of crops on the device to unit embeddings in the host's memory, PyTorch from a normalised tensor to
an unnormalised one, both on the device. `call` is the host's clock for both, from crops to embeddings in its memory.
Exits with 77, after saying why, where there is no PyTorch or no device for it, or where only --time-limit kept
PyTorch from being ready for anything."""
import argparse
import contextlib
import gc
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

SKIPPED = 77
CROP = 112
MODES = {"compile": "reduce-overhead", "autotune": "max-autotune"}
WAYS = ("eager", "graph", *MODES)
TURN_MS, LEAST_SAMPLES, MOST_SAMPLES = 200, 5, 100


class OutOfTime(BaseException):
    """No Exception: while it compiles, PyTorch catches those, TimeoutError among them, and goes on."""


def peers(argument):
    """Where afw.py, network.py and torch_network.py lie."""
    return pathlib.Path(argument or pathlib.Path(__file__).resolve().parent / "peers")


class Ours:
    """bench_cuda --serve: one batch."""

    def __init__(self, arguments, batch, crops):
        command = [arguments.bench, "--serve", "--model", arguments.model, "--precision", arguments.precision,
                   "--batch", str(batch), "--crops", crops]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self.answer(check="ready")
        except BaseException:
            self.process.kill()
            self.process.wait()  # its memory on the device is free then
            raise

    def answer(self, check=None):
        line = self.process.stdout.readline().strip()
        if not line or (check and line != check):
            raise RuntimeError(f"bench_cuda --serve: {line or 'no answer'} (exit code {self.process.poll()})")
        return line

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.answer())

    def device_ms(self, samples):
        return self.ask(f"device {samples}")

    def call_ms(self, samples):
        return self.ask(f"call {samples} 1")

    def embeddings(self):
        return self.ask("output 1")

    def close(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Way:
    """One way of PyTorch's, for one batch."""

    def __init__(self, torch, name, net, pixels, kind):
        self.torch, self.kind = torch, kind
        self.pixels = torch.from_numpy(pixels).pin_memory()  # {batch, 112, 112, 3}
        self.x = self.normalised(self.pixels.cuda())
        if name in MODES:
            torch._dynamo.reset()
            compiled = torch.compile(net, mode=MODES[name], dynamic=False)

            def run(x):
                torch.compiler.cudagraph_mark_step_begin()
                return compiled(x)
            self.run = run
        elif name == "graph":
            self.run = self.captured(net)
        else:
            self.run = net
        for _ in range(5):  # compiles, finds algorithms, captures
            y = self.run(self.x)
        torch.cuda.synchronize()
        self.is_finite = bool(torch.isfinite(y).all())

    def normalised(self, pixels):
        x = pixels.permute(0, 3, 1, 2).to(self.kind)  # bytes {N, H, W, 3} are channels last already
        return x.div_(255).sub_(0.5).div_(0.5).contiguous(memory_format=self.torch.channels_last)

    def captured(self, net):
        torch = self.torch
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(5):
                net(self.x)
        torch.cuda.current_stream().wait_stream(stream)
        graph, held = torch.cuda.CUDAGraph(), self.x
        with torch.cuda.graph(graph):
            y = net(held)

        def run(x):
            if x is not held:
                held.copy_(x)
            graph.replay()
            return y
        return run

    def device_ms(self, samples):
        events = [self.torch.cuda.Event(enable_timing=True) for _ in range(samples + 1)]
        events[0].record()
        for event in events[1:]:
            self.run(self.x)
            event.record()
        events[-1].synchronize()
        return [a.elapsed_time(b) for a, b in zip(events, events[1:])]

    def call_ms(self, samples):
        times = []
        for _ in range(samples):
            start = time.perf_counter()
            x = self.normalised(self.pixels.cuda(non_blocking=True))
            self.torch.nn.functional.normalize(self.run(x).float()).cpu()
            times.append(1e3 * (time.perf_counter() - start))
        return times


@contextlib.contextmanager
def limited(seconds):
    """OutOfTime in what takes longer."""
    seconds = max(seconds, 0)

    def stop(*_):
        raise OutOfTime(f"not done after {seconds:.0f} s")
    before = signal.signal(signal.SIGALRM, stop)
    # Again and again: raised where a callback's exceptions are only printed, one is lost.
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01), 5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def samples_for(first_ms):
    return int(min(max(TURN_MS / first_ms, LEAST_SAMPLES), MOST_SAMPLES))


def compare(ours, way, measure, rounds):
    """Medians of each round, in turns whose order alternates; the first round is not counted. `ours` may be None."""
    turns = {name: getattr(subject, measure) for name, subject in (("ours", ours), ("torch", way)) if subject}
    samples = {name: samples_for(min(run(3))) for name, run in turns.items()}
    medians = {name: [] for name in turns}
    for number in range(rounds + 1):
        for name in (list(turns) if number % 2 else reversed(list(turns))):
            times = turns[name](samples[name])
            if number:
                medians[name].append(statistics.median(times))
    if not ours:
        return {"torch_ms": statistics.median(medians["torch"])}
    ratios = sorted(a / b for a, b in zip(medians["ours"], medians["torch"]))
    quarter = len(ratios) // 4
    return {"ours_ms": statistics.median(medians["ours"]), "torch_ms": statistics.median(medians["torch"]),
            "ratio": statistics.median(ratios), "ratio_low": ratios[quarter], "ratio_high": ratios[-1 - quarter]}


def least_cosine(torch, embeddings, expected):
    count = min(len(embeddings), len(expected))
    ours = torch.tensor(embeddings[:count], dtype=torch.float64)
    return torch.nn.functional.cosine_similarity(ours, expected[:count].double().cpu()).min().item()


def print_row(batch, way, measure, row):
    if "ratio" not in row:
        print(f"| {batch} | {way} | {measure} | | {row['torch_ms']:.3f} | | | {1e3 * batch / row['torch_ms']:.0f} | |", flush=True)
        return
    print(f"| {batch} | {way} | {measure} | {row['ours_ms']:.3f} | {row['torch_ms']:.3f} "
          f"| **{row['ratio']:.2f}** [{row['ratio_low']:.2f}, {row['ratio_high']:.2f}] "
          f"| {1e3 * batch / row['ours_ms']:.0f} | {1e3 * batch / row['torch_ms']:.0f} "
          f"| {row['torch_ms'] / row['ours_ms']:.2f} |", flush=True)


def arguments_of(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True, help="the program bench_cuda")
    parser.add_argument("--model", required=True, help="an .afw file of ir_18, ir_34, ir_50 or ir_101")
    parser.add_argument("--precision", choices=("f16", "bf16", "f32"), default="f16", help="f32: TF32 for both")
    parser.add_argument("--batches", default="1,64,256")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--time-limit", type=float, default=540, help="seconds for all; compiling ends with it")
    parser.add_argument("--json", help="writes everything measured to this file")
    parser.add_argument("--peers", help="the folder bench/peers, where it is not beside this file")
    arguments = parser.parse_args(argv)
    arguments.batches = [int(text) for text in arguments.batches.split(",")]
    arguments.ways = arguments.ways.split(",")
    if unknown := set(arguments.ways) - set(WAYS):
        parser.error(f"--ways: {', '.join(sorted(unknown))}: expected {', '.join(WAYS)}")
    return arguments


def save(arguments, report):
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def note_failure(report, name, error):
    report["failed"][name] = f"{type(error).__name__}: {error}"[:400]


def is_out_of_time(report):
    """Whether the time limit, and nothing else, stopped all that was tried, before any way could run. Later, ours may
    have hung."""
    reasons = report["failed"].values()
    return bool(reasons) and not report["prepare_s"] and all(why.startswith(f"{OutOfTime.__name__}:") for why in reasons)


def measure_batch(torch, arguments, net, kind, reference, crops, batch, until, report):
    with tempfile.NamedTemporaryFile(suffix=".raw") as file:
        crops[:batch].tofile(file)
        file.flush()
        ours = None
        try:
            with limited((until - time.monotonic()) / 2):
                ours = Ours(arguments, batch, file.name)
                report["cosine"][str(batch)] = cosine = least_cosine(torch, ours.embeddings(), reference)
            print(f"batch {batch}: least cosine of ours to PyTorch's float32: {cosine:.6f}", flush=True)
        except (Exception, OutOfTime) as error:  # PyTorch's time alone is worth knowing
            note_failure(report, f"ours {batch}", error)
            print(f"| {batch} | ours: not measured: {type(error).__name__}: {str(error)[:200]} |", flush=True)
            if ours:
                ours.close()
            ours = None
    try:
        for name in arguments.ways:
            way = None
            try:
                start = time.monotonic()
                with limited(until - start):
                    way = Way(torch, name, net, crops[:batch], kind)
                    report["prepare_s"][f"{name} {batch}"] = time.monotonic() - start
                    if not way.is_finite:
                        print(f"{name}: PyTorch's embeddings are not finite", flush=True)
                    for measure in ("device", "call"):
                        row = compare(ours, way, f"{measure}_ms", arguments.rounds)
                        report["rows"].append({"batch": batch, "way": name, "measure": measure, **row})
                        print_row(batch, name, measure, row)
                        save(arguments, report)  # what is done stays
            except (Exception, OutOfTime) as error:  # the other ways remain
                note_failure(report, f"{name} {batch}", error)
                print(f"| {batch} | {name} | not measured: {type(error).__name__}: {str(error)[:200]!r} |", flush=True)
                if ours and ours.process.poll() is not None:
                    report["failed"][f"ours {batch}"] = f"exit code {ours.process.poll()}"
                    ours = None
            # The next way finds the device's memory as this one did. After the handler: its error's frames hold it too.
            way = None
            gc.collect()
            with contextlib.suppress(RuntimeError):  # after some errors nothing works on the device any more
                torch.cuda.empty_cache()
            save(arguments, report)
    finally:
        if ours:
            ours.close()


def main(argv):
    arguments = arguments_of(argv)
    until = time.monotonic() + arguments.time_limit
    try:
        import numpy
        import torch
    except ImportError as error:
        print(f"not measured: {error}")
        return SKIPPED
    if not torch.cuda.is_available():
        print(f"not measured: PyTorch {torch.__version__} sees no CUDA device")
        return SKIPPED
    sys.path.insert(0, str(peers(arguments.peers)))
    import afw
    import network as networks
    from torch_network import TorchNetwork

    torch.backends.cudnn.benchmark = True
    trained = networks.iresnet(afw.read(arguments.model))
    crops = numpy.random.default_rng(20261125).integers(0, 256, (max(arguments.batches), CROP, CROP, 3), numpy.uint8)
    kind = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}[arguments.precision]
    report = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "cudnn": torch.backends.cudnn.version(),
              "precision": arguments.precision, "rows": [], "failed": {}, "cosine": {}, "prepare_s": {}}
    with torch.inference_mode():
        some = torch.from_numpy(crops[:4]).cuda().permute(0, 3, 1, 2).float()
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        reference = TorchNetwork(trained).cuda()((some / 255 - 0.5) / 0.5)
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    print(f"{report['device']}, PyTorch {report['torch']}, cuDNN {report['cudnn']}, {arguments.precision}")
    print("| batch | PyTorch | measure | ours ms | PyTorch ms | ours / PyTorch | ours images/s | PyTorch images/s "
          "| times as fast |\n|---|---|---|---|---|---|---|---|---|", flush=True)
    with torch.no_grad():
        net = TorchNetwork(networks.fold(trained)).to(kind).cuda().to(memory_format=torch.channels_last)
        for batch in arguments.batches:
            measure_batch(torch, arguments, net, kind, reference, crops, batch, until, report)
            save(arguments, report)
    for measure in ("call", "device"):
        for batch in arguments.batches:
            rows = [row for row in report["rows"] if (row["batch"], row["measure"]) == (batch, measure)]
            if rows:
                best = min(rows, key=lambda row: row["torch_ms"])
                print(f"{measure}, batch {batch}: PyTorch's best way is {best['way']}, {best['torch_ms']:.3f} ms"
                      + (f"; ours / PyTorch {best['ratio']:.2f}, {1 / best['ratio']:.2f} times its images/s"
                         if "ratio" in best else ""))
    if is_out_of_time(report):
        print(f"not measured: {'; '.join(f'{name}: {why}' for name, why in report['failed'].items())}")
        return SKIPPED
    return 0 if report["rows"] and not any(key.startswith("ours") for key in report["failed"]) else 1


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # else compilations that were given up are waited for
