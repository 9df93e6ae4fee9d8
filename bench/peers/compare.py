"""Times this engine and its peers in turns. See README.md; `bench/peers/run` sets everything up and calls this."""
import argparse
import json
import os
import pathlib
import platform
import statistics
import sys

import agreement
import detect_peers
import embed_peers
import neighbours
import prepare
import report
from contender import OURS, Contender, Process, command_of


def embedding_pairs(peers, precisions, threads):
    """(ours, peer): equal precision; ours in bf16 also against what is no better than float32, and against int8."""
    pairs = []
    for name in peers:
        offered = [p for p in embed_peers.PEERS[name].precisions if p in precisions]
        for precision in offered:
            ours = {"f32": ["f32"], "bf16": ["bf16"], "int8": ["bf16"]}[precision]
            if precision == "f32" and "bf16" not in offered:
                ours = ["f32", "bf16"]
            pairs += [(Contender(OURS, p, threads), Contender(name, precision, threads))
                      for p in ours if p in precisions]
    return pairs


def detection_pairs(peers, threads):
    standard, reference = Contender(OURS, "standard", threads), Contender(OURS, "reference", threads)
    pairs = []
    for name in peers:
        if name == "published":
            published = Contender(name, "reference", threads)
            pairs += [(standard, published), (reference, published)]
        pairs.append((standard, Contender(name, "standard", threads)))
    return pairs


def start(contenders, work, arguments, logs):
    """Processes of those that start; the others are named and left out."""
    processes = {}
    for contender in contenders:
        log = logs / f"{work}-{contender.name}-{contender.setting}-{contender.threads}.log"
        try:
            with open(log, "w", encoding="utf-8") as file:
                processes[contender] = Process(command_of(contender, work, arguments), contender.threads, file)
        except (RuntimeError, OSError, ValueError) as error:
            print(f"  {contender.label()}: left out, {error}; {log}", flush=True)
    return processes


def measure(pairs, processes, rounds, runs):
    """Each round runs every pair, ours and the peer next to each other, in changing order: {pair: [(ours, peer)]}."""
    samples = {pair: [] for pair in pairs}
    for i in range(rounds):
        for ours, peer in pairs[i % len(pairs):] + pairs[:i % len(pairs)]:
            order = (ours, peer) if i % 2 == 0 else (peer, ours)
            times = {contender: processes[contender].run(runs) for contender in order}
            samples[ours, peer].append((times[ours], times[peer]))
    return samples


def available(pairs, processes):
    """The pairs that can be measured; where this engine has not the precision, its float32 stands in."""
    found = []
    for ours, peer in pairs:
        if ours not in processes and ours.setting == "bf16":
            ours = Contender(OURS, "f32", ours.threads)
        if ours in processes and peer in processes and ours != peer and (ours, peer) not in found:
            found.append((ours, peer))
    return found


def case(title, work, pairs, arguments, options):
    print(title, flush=True)
    wanted = list(dict.fromkeys(contender for pair in pairs for contender in pair))
    processes = start(wanted, work, arguments, options.logs)
    try:
        pairs = available(pairs, processes)
        outputs = {contender: process.output() for contender, process in processes.items()}
        agreements = {contender: agreement.of(work, contender, outputs) for contender in processes}
        rounds = options.rounds if arguments.get("batch", 1) == 1 else max(options.rounds // 3, 5)
        watch = neighbours.Watch(list(processes.values()))
        samples = measure(pairs, processes, rounds, options.runs) if pairs else {}
        busy = watch.shares()
    finally:
        for process in processes.values():
            process.close()
    result = {"title": title, "work": work, "threads": arguments["threads"], "pairs": [], "neighbours": busy,
              "ours": {contender.label(): found for contender, found in agreements.items()
                       if contender.name == OURS}}
    for (ours, peer), times in samples.items():
        about = processes[peer].about
        result["pairs"].append({
            "ours": ours.label(), "peer": peer.label(), "ours_threads": ours.threads, "peer_threads": peer.threads,
            "version": about["version"], "variant": about.get("variant", ""), "agreement": agreements[peer],
            "milliseconds": [(a[0], b[0]) for a, b in times], "cpu_milliseconds": [(a[1], b[1]) for a, b in times]})
        ratio = statistics.median(a[0] / b[0] for a, b in times)
        print(f"  {ours.label()} / {peer.label()}: {ratio:.3f}   {about.get('variant', '')}  "
              f"{agreements[peer]['text']}", flush=True)
    return result


def cases(options):
    everyone = len(os.sched_getaffinity(0))
    counts = sorted({everyone if text == "all" else int(text) for text in options.threads})
    if options.model:
        for batch in options.batches:
            folder = prepare.embedding_folder(options.work, options.model, batch, options.crops,
                                              "int8" in options.precisions)
            arguments = {"worker": options.worker, "model": os.path.abspath(options.model), "folder": folder.absolute(),
                         "crops": str(folder.absolute() / "crops.raw"), "batch": batch}
            name = pathlib.Path(options.model).stem
            for threads in counts:
                yield (f"{name}, batch {batch}, {report.threads(threads)}", "embed",
                       embedding_pairs(options.peers, options.precisions, threads), arguments | {"threads": threads})
            if len(counts) > 1:
                pairs = [(Contender(OURS, p, counts[-1]), Contender(OURS, p, counts[0]))
                         for p in options.precisions if p != "int8"]
                compared = f"{report.threads(counts[-1])} against {report.threads(counts[0])}"
                yield (f"{name}, batch {batch}, {compared}", "embed", pairs, arguments | {"threads": counts[-1]})
    if options.detector and options.images:
        folder = prepare.detection_folder(options.work, options.detector)
        for image in options.images:
            arguments = {"worker": options.worker, "model": os.path.abspath(options.detector),
                         "folder": folder.absolute(), "image": os.path.abspath(image)}
            for threads in counts:
                yield (f"detection, {report.picture(image)}, {report.threads(threads)}", "detect",
                       detection_pairs(options.detectors, threads), arguments | {"threads": threads})


def parse():
    words = lambda text: [word for word in text.split(",") if word]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", required=True, help="worker_adaface of a build with benchmarks")
    parser.add_argument("--work", required=True, type=pathlib.Path, help="folder for the peers' files")
    parser.add_argument("--model", help="an IR network's .afw")
    parser.add_argument("--detector", help="MTCNN's .afw")
    parser.add_argument("--images", nargs="*", default=[], help="photographs for detection")
    parser.add_argument("--crops", default="tests/data/synthetic_faces", help="folder of pictures to make crops of")
    parser.add_argument("--peers", type=words, default=list(embed_peers.PEERS))
    parser.add_argument("--detectors", type=words, default=list(detect_peers.PEERS))
    parser.add_argument("--precisions", type=words, default=["f32", "bf16", "int8"])
    parser.add_argument("--batches", type=lambda text: [int(word) for word in words(text)], default=[1, 16])
    parser.add_argument("--threads", type=words, default=["1", "all"])
    parser.add_argument("--rounds", type=int, default=15, help="a third as many for batches")
    parser.add_argument("--runs", type=int, default=1, help="inferences in each turn")
    parser.add_argument("--json", type=pathlib.Path, help="every sample")
    parser.add_argument("--markdown", type=pathlib.Path, help="the tables")
    options = parser.parse_args()
    for name, known in ((options.peers, embed_peers.PEERS), (options.detectors, detect_peers.PEERS)):
        unknown = set(name) - set(known)
        if unknown:
            parser.error(f"{', '.join(sorted(unknown))}: expected of {', '.join(known)}")
    options.logs = options.work / "logs"
    options.logs.mkdir(parents=True, exist_ok=True)
    return options


def main():
    options = parse()
    results = {"cpu": report.cpu_model(), "cpus": len(os.sched_getaffinity(0)), "system": " ".join(platform.libc_ver()),
               "python": platform.python_version(), "command": os.environ.get("PEERS_COMMAND", ""), "cases": []}
    for title, work, pairs, arguments in cases(options):
        results["cases"].append(case(title, work, pairs, arguments, options))
        if options.json:
            options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
        if options.markdown:
            report.update(options.markdown, report.markdown(results))
    checked = [(found["title"], label, agreed) for found in results["cases"]
               for label, agreed in [*found["ours"].items(), *((p["peer"], p["agreement"]) for p in found["pairs"])]]
    wrong = [f"{label} ({title}): {agreed['text']}" for title, label, agreed in checked if not agreed["good"]]
    for line in dict.fromkeys(wrong):
        print(f"error: not what was to be measured: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
