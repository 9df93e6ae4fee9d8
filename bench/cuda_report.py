#!/usr/bin/env python3
"""What tools/check-cuda has left in a directory, as the tables of bench/RESULTS.md, "On a GPU":
    cuda_report.py check-cuda-out
What was not measured, or not to its end, is left out or says so."""
import collections
import json
import pathlib
import re
import statistics
import sys

PRECISIONS = {"f16": "f16", "bf16": "bf16", "f32": "TF32"}
BATCHES = (1, 64, 256)  # always shown; others where they were measured
ASKED_RATIO = {1: "≤ 0.5", 64: "≤ 1.0", 256: "≤ 1.0"}
ASKED_COSINE = {"f16": 0.9995, "bf16": 0.998, "f32 (TF32)": 0.99999}
SANITIZERS = ("memcheck", "racecheck", "initcheck")
NOT_MEASURED = "not measured"
NOT_RUN = ("left out", "skipped")  # statuses that say nothing of what was to run


def report_of(path):
    """{}: not there, or not JSON to its end."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def log_of(path):
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def table(title, heads, rows):
    print(f"\n### {title}\n\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for row in rows:
        print(f"| {' | '.join(str(cell) for cell in row)} |")


def batches_of(out, *names):
    """Those always shown, and those that there are files NAME_BATCH.json of."""
    found = {int(match[1]) for name in names for path in out.glob(f"{name}_*.json")
             if (match := re.fullmatch(rf"{name}_(\d+)", path.stem))}
    return sorted(found | set(BATCHES))


def limits(out):
    reports = [report_of(out / f"networks_{precision}.json") for precision in PRECISIONS]
    device = next((r for r in reports if r), None)
    if not device:
        print(f"Device: {NOT_MEASURED}.")
        return
    peaks = {name: tera for report in reports for name, tera in report.get("matrix_teraflops", {}).items()}
    print(f"Device: {device['device']}, compute capability {device['compute_capability']}, "
          f"{device['multiprocessors']} multiprocessors. Matrix peak: "
          + (", ".join(f"{PRECISIONS[name]} {tera:.0f} TFLOP/s" for name, tera in peaks.items()) or NOT_MEASURED)
          + f". Copy: {device.get('copy_gigabytes', 0):.0f} GB/s.")


def pytorch(out):
    rows, details = [], []
    for batch in batches_of(out, "pytorch", "autotune"):
        reports = [report_of(out / f"{name}_{batch}.json") for name in ("pytorch", "autotune")]
        found = {(row["way"], row["measure"]): row for report in reports for row in report.get("rows", [])
                 if row["batch"] == batch}
        prepare = {name: seconds for report in reports for name, seconds in report.get("prepare_s", {}).items()}

        def best(measure):
            """Of PyTorch's ways the fastest, and the fastest that ours was measured beside."""
            ways = sorted((row for (_, of), row in found.items() if of == measure), key=lambda row: row["torch_ms"])
            return next(iter(ways), None), next((row for row in ways if "ratio" in row), None)

        def ratio(fastest, beside):
            if not beside:
                return NOT_MEASURED
            return (f"**{beside['ratio']:.2f}** [{beside['ratio_low']:.2f}, {beside['ratio_high']:.2f}]"
                    + ("" if beside is fastest else
                       f" (to {beside['way']}, {beside['torch_ms']:.3f} ms; {NOT_MEASURED} beside {fastest['way']})"))
        (fastest, beside), asked = best("device"), ASKED_RATIO.get(batch, "")
        rows.append([batch, f"{beside['ours_ms']:.3f}" if beside else NOT_MEASURED, f"{fastest['torch_ms']:.3f}", fastest["way"],
                     ratio(fastest, beside), ratio(*best("call")), asked] if fastest else
                    [batch, NOT_MEASURED, NOT_MEASURED, "", "", "", asked])
        for (way, measure), row in found.items():
            ours = f"ours {row['ours_ms']:.3f} ms, {1e3 * batch / row['ours_ms']:.0f} images/s, " if "ours_ms" in row else ""
            details.append(f"{batch}, {way}, {measure}: {ours}PyTorch {row['torch_ms']:.3f} ms, "
                           f"{1e3 * batch / row['torch_ms']:.0f} images/s; prepared in {prepare.get(f'{way} {batch}', 0):.0f} s")
        for report in reports:
            details += [f"{name}: {why}" for name, why in report.get("failed", {}).items()]
        details += [f"batch {name}: least cosine to PyTorch's float32 {least:.6f}"
                    for name, least in reports[0].get("cosine", {}).items()]
    table("ir_101, f16, beside PyTorch",
          ("batch", "ours, ms", "PyTorch's best, ms", "which", "ours / PyTorch", "call", "asked"), rows)
    if details:
        print("\n" + "\n".join(f"- {line}" for line in details))


def networks(out):
    rows = []
    for precision, name in PRECISIONS.items():
        found = report_of(out / f"networks_{precision}.json").get("networks", [])
        for row in found:
            peak = row["matrix_teraflops"]
            rows.append([name, row["batch"], f"{row['device_median_ms']:.3f}", f"{row['images_per_second']:.0f}",
                         f"{row['teraflops']:.0f}", f"{row['teraflops'] / peak:.1%}" if peak > 0 else NOT_MEASURED])
        if not found:
            rows.append([name, "1, 64, 256", NOT_MEASURED, "", "", ""])
    table("ir_101 alone", ("precision", "batch", "ms", "images/s", "TFLOP/s", "of the matrix peak"), rows)


def layers(out):
    rows = []
    for batch in batches_of(out, "layers"):
        report = report_of(out / f"layers_{batch}.json")
        kinds = collections.defaultdict(list)
        for row in report.get("layers", []):
            kinds[row["layer"], row["shape"]].append(row)
        if not kinds:
            rows.append([batch, NOT_MEASURED, "", "", "", ""])
            continue
        sums, missing = collections.Counter(), 0
        for tiles in kinds.values():
            count, library = tiles[0]["count"], next((t["cudnn"]["median_ms"] for t in tiles if "cudnn" in t), None)
            chosen = count * next(t["median_ms"] for t in tiles if t["chosen"])
            sums["chosen"] += chosen
            sums["fastest"] += count * min(t["median_ms"] for t in tiles)
            if library is not None:
                sums["cudnn"] += count * library
                sums["beside"] += chosen
            sums["limit"] += count * tiles[0]["limit_ms"]
            missing += library is None
        count, beside = sum(tiles[0]["count"] for tiles in kinds.values()), NOT_MEASURED
        if missing < len(kinds):
            beside = f"{sums['cudnn']:.3f}"
        if 0 < missing < len(kinds):
            beside += f", {missing} of {len(kinds)} kinds left out; chosen tiles of the others {sums['beside']:.3f}"
        rows.append([batch, count if report.get("finished") else f"{count}, unfinished", f"{sums['chosen']:.3f}",
                     f"{sums['fastest']:.3f}", beside, f"{sums['limit']:.3f}"])
    table("Kinds of layers of ir_101, f16", ("batch", "layers", "sum of chosen tiles, ms", "of fastest tiles", "cuDNN", "limit"), rows)


def pictures(out):
    for path in sorted(out.glob("pictures_*.json"), key=lambda path: path.name != "pictures_img3.json"):
        result = report_of(path).get("pictures", {})
        fastest = {}
        for name, begins in (("device, f16", "device"), ("CPU, f32", "CPU, f32"), ("CPU, bf16", "CPU, bf16")):
            ways = [way for way in result.get("ways", []) if way["name"].startswith(begins)]
            if ways:
                fastest[name] = min(ways, key=lambda way: way["median_ms"])
        cpu, rows = fastest.get("CPU, f32"), []
        for name, way in fastest.items():
            rows.append([f"{name} ({way['name'].split(', ')[-1]}; {way['rounds']} rounds, {way['faces']} faces)",
                         f"{way['median_ms']:.1f}", f"{1e3 * result['count'] / way['median_ms']:.1f}",
                         f"{cpu['median_ms'] / way['median_ms']:.1f}" if cpu else NOT_MEASURED])
        if not rows:
            continue
        table(f"{result['count']} photographs of {result['width']}×{result['height']}, detected, aligned, embedded",
              ("", "ms", "pictures/s", "times as fast as the CPU in f32"), rows)
        if stages := result["stages"]:
            table("One of them", ("of one picture, ms", "decode", "upload", "detect", "align", "embed", "all at once"),
                  [[stage["name"], f"{stage['decode_ms']:.2f}",
                    f"{result['upload_ms']:.3f}" if stage["name"] == "device" and "upload_ms" in result else "",
                    *(f"{stage[key]:.2f}" if key in stage else "" for key in ("detect_ms", "align_ms", "embed_ms", "whole_ms"))]
                   for stage in stages])
        if agreement := result.get("agreement"):
            print(f"\nFaces: {agreement['device_faces']} on the device, {agreement['cpu_faces']} on the CPU; landmarks at most "
                  f"{agreement['landmarks_apart']:.4f} px apart, cosine at least {agreement['cosine']:.6f}.")


def statuses(out):
    """{name: (status, rest of its line)}; of what ran twice the later. A call that did not come to it, or could not run it,
    does not hide what an earlier one found."""
    found = {}
    for line in log_of(out / "summary.txt").splitlines():
        if match := re.match(r"(\S+) +(ok|skipped|timed out|left out|code \d+) +(?:\d+s)? *(.*)", line):
            if match[2] not in NOT_RUN or found.get(match[1], NOT_RUN)[0] in NOT_RUN:
                found[match[1]] = match[2], match[3]
    return found


def checks(out):
    rows, known = [], statuses(out)
    cosines = collections.defaultdict(dict)
    for net, precision, error in re.findall(r"^(\w+) in (.+): 1 - cosine (\S+),", log_of(out / "test_cuda_embedder.log"), re.MULTILINE):
        cosines[precision][net] = float(error)
    for precision, least in ASKED_COSINE.items():
        found = cosines.get(precision, {})
        rows.append([f"least cosine to the float64 goldens, {precision} (asked {least})",
                     f"{1 - max(found.values()):.7f}: " + ", ".join(f"{net} 1 − {error:.1e}" for net, error in found.items())
                     if found else NOT_MEASURED])
    faces = re.findall(r"^(\S+), (\w+) mode: (\d+) faces of (\d+) pictures, worst (\S+) px", log_of(out / "test_cuda_cascade.log"),
                       re.MULTILINE)
    rows.append(["faces beside the published ones, furthest (asked 0.1 px)",
                 "; ".join(f"{golden}, {mode} mode: {far} px, {count} faces of {of} pictures" for golden, mode, count, of, far in faces)
                 or NOT_MEASURED])
    for tool in SANITIZERS:
        # Of errors the count is in its last line.
        of_tool = {name[len(tool) + 1:]: f"{status} ({last.lstrip('= ')})" if status.startswith("code") else status
                   for name, (status, last) in known.items() if name.startswith(tool + "_")}
        rows.append([f"compute-sanitizer: {tool}", ", ".join(f"{name} {status}" for name, status in of_tool.items()) or "not run"])
    rows.append(["tests", ", ".join(f"{name} {status}" for name, (status, _) in known.items() if name.startswith("test_")) or "not run"])
    table("Checks on the device", ("", ""), rows)


def profiles(out):
    """Nsight Compute's text: a line for each kernel with its grid, then lines of name, unit, value."""
    metrics = ("Duration", "Compute (SM) Throughput", "Memory Throughput", "L2 Cache Throughput", "DRAM Throughput",
               "Achieved Occupancy")
    # Memory Throughput occurs twice: in percent, which is meant, and as a rate.
    line_of_metric = re.compile(r"^ +(" + "|".join(map(re.escape, metrics)) + r") +(ns|us|ms|s|nsecond|usecond|msecond|%) +([\d,.]+)\s*$")
    micro = {"n": 1e-3, "u": 1, "m": 1e3, "s": 1e6}
    for path in sorted(out.glob("profile_*.log"), key=lambda path: (len(path.name), path.name)):
        groups, current = collections.defaultdict(list), None
        for line in log_of(path).splitlines():
            if kernel := re.match(r"^  (\S.*?) \((\d+), (\d+), \d+\)x\((\d+), \d+, \d+\)", line):
                numbers = re.findall(r"\d+", kernel[1].partition("<")[2].partition("(")[0])
                name = re.split(r"[<(]", kernel[1].removeprefix("void "))[0].split("::")[-1]
                current = {}
                groups[f"{name}<{','.join(numbers)}>" if numbers else name, f"{kernel[2]}x{kernel[3]}", kernel[4]].append(current)
            elif current is not None and (metric := line_of_metric.match(line)):
                value = float(metric[3].replace(",", ""))
                current.setdefault(metric[1], value * micro[metric[2][0]] if metric[1] == "Duration" else value)
        if not groups:
            continue

        def total(group):
            return sum(run.get("Duration", 0) for run in group)
        table(f"Kernels by Nsight Compute, {path.stem}",
              ("kernel", "grid", "threads", "n", "us together", *(f"{metric}, %" for metric in metrics[1:])),
              [[*key, len(group), f"{total(group):.1f}",
                *(f"{statistics.mean(values):.0f}" if (values := [run[metric] for run in group if metric in run]) else ""
                  for metric in metrics[1:])]
               for key, group in sorted(groups.items(), key=lambda item: -total(item[1]))[:14]])


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        return 0 if len(sys.argv) == 2 else 2
    out = pathlib.Path(sys.argv[1])
    if not out.is_dir():
        sys.exit(f"error: {out}: no such directory")
    if machine := log_of(out / "machine.txt").strip():
        print(machine, end="\n\n")
    for part in (limits, pytorch, networks, layers, pictures, checks, profiles):
        try:
            part(out)
        except (ArithmeticError, AttributeError, LookupError, StopIteration, TypeError, ValueError) as error:  # the other parts remain
            print(f"\n{part.__name__}: {type(error).__name__}: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
