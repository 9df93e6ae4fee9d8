"""Turns compare.py's JSON into tables:  report.py RESULTS.json [MORE.json ...] > RESULTS.md"""
import json
import pathlib
import statistics
import sys

BASE = "onnxruntime f32"
NOTES = """Written by `bench/peers/run` ([how](peers/README.md)). Both of a pair run next to each other, in turns, in
processes of their own; each ratio is this engine's time over the peer's, so below 1 this engine is the faster. First
the median over all rounds, in brackets the quartiles. *CPU* is the same for CPU time, which a busy neighbour disturbs
less (one thread only). One thread: all are bound to one CPU. With several, a pool whose threads spin at barriers
suffers most from neighbours: such rows mean little unless the machine was free."""
EMBEDDING = """The network has random weights, the same for all. *Cosine* is the least between the peer's embeddings
and this engine's in f32. Precisions of peers: bf16 by their own switch; int8 is the same network quantised by ONNX
Runtime's tool and calibrated on the very crops of the measurement, which flatters its cosine. ncnn has no batches and
runs one crop after the other."""
DETECTION = """All find faces from 20 pixels on with pyramid factor 0.85 and thresholds 0.6, 0.7, 0.9. *published*:
the stages of the published Python pipeline on PyTorch, Pillow and numpy; in mode reference softmax and per-candidate
conversion of the picture as published, in mode standard both mended. *quick-...*: a cascade with OpenCV's resizes and
the networks in that runtime (OpenVINO: compiled beforehand for each level of this picture). The others are packages
with weights of their own."""


def cpu_model():
    fields = {}
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
    flags = [name for name in wanted if name in fields.get("flags", "").split()]
    name = fields.get("model name", "unknown CPU")
    return f"{name} (family {fields.get('cpu family', '?')}, model {fields.get('model', '?')}; {', '.join(flags)})"


def threads(count):
    return "1 thread" if count == 1 else f"{count} threads"


def picture(path):
    from PIL import Image
    with Image.open(path) as image:
        return f"{pathlib.Path(path).name} ({image.width}x{image.height})"


def summary(pairs):
    ratios = [a / b for a, b in pairs]
    if len(ratios) < 2:
        return f"{ratios[0]:.2f}"
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return f"**{statistics.median(ratios):.2f}** [{low:.2f}, {high:.2f}]"


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def ratio_of(pair):
    return statistics.median(a / b for a, b in pair["milliseconds"])


def against_base(case, pair):
    """The peer's time over ONNX Runtime's, through ours: the two did not run next to each other."""
    base = next((other for other in case["pairs"] if (other["ours"], other["peer"]) == (pair["ours"], BASE)), None)
    return "" if base is None else f"{ratio_of(base) / ratio_of(pair):.2f}"


def embedding_table(case):
    rows, single = [], case["threads"] == 1
    for pair in case["pairs"]:
        row = [pair["ours"].split()[1], pair["peer"], pair["variant"], pair["agreement"]["text"],
               summary(pair["milliseconds"])]
        rows.append(row + ([summary(pair["cpu_milliseconds"])] if single else []) + [against_base(case, pair)])
    header = ["ours", "peer", "its best way", "cosine", "ours / peer"] + (["CPU"] if single else [])
    return table(header + ["peer / ONNX Runtime f32"], rows)


def scaling_table(case):
    rows = [[pair["ours"].split()[1], f"{pair['ours_threads']} / {pair['peer_threads']}", summary(pair["milliseconds"]),
             f"{statistics.median(b / a for a, b in pair['milliseconds']):.2f}"] for pair in case["pairs"]]
    return table(["ours", "threads", "ratio", "times as fast"], rows)


def detection_table(case):
    rows, single = [], case["threads"] == 1
    for pair in case["pairs"]:
        found = pair["agreement"]
        speed = statistics.median(b / a for a, b in pair["milliseconds"])
        row = [pair["ours"].split()[1], pair["peer"], f"{found['faces']} ({found['matched']} of our {found['ours']})",
               summary(pair["milliseconds"])]
        rows.append(row + ([summary(pair["cpu_milliseconds"])] if single else []) + [f"{speed:.1f}"])
    header = ["ours", "peer", "faces", "ours / peer"] + (["CPU"] if single else [])
    return table(header + ["times as fast"], rows)


def case_text(case):
    if not case["pairs"]:
        return f"### {case['title']}\n\nnothing measured"
    if case["work"] == "detect":
        body = detection_table(case)
    elif case["pairs"][0]["ours_threads"] != case["pairs"][0]["peer_threads"]:
        body = scaling_table(case)
    else:
        body = embedding_table(case)
    busy = case["neighbours"]
    rounds = (f"{len(case['pairs'][0]['milliseconds'])} rounds. Meanwhile other processes used {busy['others']:.0%} "
              f"of the CPUs, and the host withheld {busy['withheld']:.0%}.")
    lower = case.get("ours", {}).get("adaface bf16")
    if lower:
        rounds += f" Cosine of this engine's bf16 to its f32: {lower['text']}."
    return f"### {case['title']}\n\n{rounds}\n\n{body}"


def versions(cases):
    known = {}
    for case in cases:
        for pair in case["pairs"]:
            known[pair["peer"].split()[0]] = pair["version"]
    return ", ".join(f"{name} {version}" for name, version in sorted(known.items()))


def markdown(results):
    cases = results["cases"]
    parts = ["# This engine beside its peers", NOTES,
             f"{results['cpu']}, {results['cpus']} CPUs, shared; {results['system']}; Python {results['python']}. "
             f"{versions(cases)}.",
             f"```sh\n{results['command']}\n```"]
    for work, heading, notes in (("embed", "## Embedding", EMBEDDING), ("detect", "## Detection", DETECTION)):
        chosen = [case for case in cases if case["work"] == work]
        if chosen:
            parts += [heading, notes, *map(case_text, chosen)]
    return "\n\n".join(parts) + "\n"


# What is measured in other ways and written by hand, at the end of the file.
OTHERS = "\n## On a GPU\n"


def update(path, text):
    """Writes the tables to a file, whose last part stays."""
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(text + before[at:] if (at := before.find(OTHERS)) >= 0 else text, encoding="utf-8")


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    results = [json.loads(pathlib.Path(path).read_text(encoding="utf-8")) for path in sys.argv[1:]]
    merged = results[0] | {"cases": [case for result in results for case in result["cases"]],
                           "command": "\n".join(result["command"] for result in results)}
    sys.stdout.write(markdown(merged))


if __name__ == "__main__":
    main()
