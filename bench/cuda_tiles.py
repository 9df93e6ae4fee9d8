#!/usr/bin/env python3
"""How well src/nn/cuda_tiles.cpp chooses tiles, by measurements of `bench_cuda --layers --json`, and which constants
of its model would choose better:
    cuda_tiles.py [--fit] [--source src/nn/cuda_tiles.cpp] layers_1.json [layers_64.json ...]
Of one kind of multiplication only: give files of 16 bits, or of f32. The model is written again here: keep it the same
as estimate() there."""
import argparse
import collections
import json
import math
import pathlib
import random
import re
import sys
import types

SEED, STEPS = 20261125, 6000
# What a fit may move; the others only follow from what they mean.
FREE = ("kWarpRate", "kWarpgroupRate", "kSharedRate", "kCacheRate", "kMostCacheRate", "kTapMisses", "kLeastStep", "kBlock",
        "kOutput", "kSplit", "kPartial", "kCluster", "kShare")
DEPTH_BYTES = 128

Row = collections.namedtuple("Row", "problem count rows columns steps tile_name tile ms multiprocessors taps_share cycles")


def constants_of(source):
    text = re.sub(r"//[^\n]*", "", source.read_text(encoding="utf-8"))
    found = {}
    for declaration in re.findall(r"constexpr double ([^;]*);", text):
        for name, value in re.findall(r"(k\w+) = ([\d.e+-]+)", declaration):
            found[name] = float(value)
    if missing := [name for name in FREE if name not in found]:
        sys.exit(f"{source}: has no constant {', '.join(missing)}")
    return found


def read(paths):
    rows = []
    for path in paths:
        report = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        for row in report.get("layers", []):
            tile = types.SimpleNamespace(**row["tile"])
            name = (f"{tile.rows}x{tile.columns}{'w' * tile.warpgroups}.{tile.stages}/{tile.splits}"
                    f"{'c' * tile.cluster}")
            rows.append(Row((row["batch"], row["shape"], row["layer"]), row["count"], row["rows"], row["columns"],
                            row["steps"], name, tile, row["median_ms"], report["multiprocessors"], row["taps_share"],
                            row["model_cycles"]))
    return rows


def shared_traffic(tile):
    """shared_traffic() of src/nn/cuda_tiles.cpp."""
    lines = tile.rows + tile.columns
    if tile.warpgroups:
        lines += tile.rows / 64 * (64 + tile.columns)
    elif tile.rows == tile.columns == 128:
        lines += 8 * (64 + 32)
    else:
        lines += tile.rows * tile.columns / 1024 * (32 + 32)
    return lines * DEPTH_BYTES


def estimate(c, row):
    """Cycles: estimate() of src/nn/cuda_tiles.cpp, on compute capability 9.0."""
    tile = row.tile
    tiles = -(-row.rows // tile.rows) * -(-row.columns // tile.columns)
    blocks = tiles * tile.splits
    outputs = tile.rows * tile.columns
    rate = c["kWarpgroupRate"] if tile.warpgroups else c["kWarpRate"]
    pixels = tile.rows * (c["kTapMisses"] if row.taps_share else 1)
    cache_rate = min(c["kMostCacheRate"], c["kCacheRate"] / min(1, blocks / row.multiprocessors))
    step = max(c["kLeastStep"], outputs * DEPTH_BYTES / 2 / rate, shared_traffic(tile) / c["kSharedRate"],
               (pixels + tile.columns) * DEPTH_BYTES / cache_rate)
    around = c["kBlock"]
    if tile.cluster:
        around += c["kCluster"] + outputs * (c["kShare"] + c["kOutput"] / tile.splits)
    else:
        around += outputs * c["kOutput"]
        if tile.splits > 1:
            around += c["kSplit"] + outputs * c["kPartial"] * (1 + tile.splits)
    rounds = -(-blocks // tile.multiprocessors)
    return rounds * row.steps / tile.splits * step + -(-rounds // tile.together) * around


def check_model(c, rows):
    worst = max((abs(estimate(c, row) / row.cycles - 1) for row in rows), default=0)
    if worst > 1e-6:
        print(f"warning: off by up to {worst:.1%} from what the program computed: the model here or its constants are "
              f"other than those that were measured", file=sys.stderr)


def problems_of(rows):
    problems = collections.defaultdict(list)
    for row in rows:
        problems[row.problem].append(row)
    return problems


def regret(c, problems):
    """The network's time with the model's choices over that with the fastest tiles, by batch."""
    chosen, fastest = collections.Counter(), collections.Counter()
    for (batch, *_), rows in problems.items():
        chosen[batch] += rows[0].count * min(rows, key=lambda row: estimate(c, row)).ms
        fastest[batch] += rows[0].count * min(row.ms for row in rows)
    return {batch: chosen[batch] / fastest[batch] for batch in sorted(chosen)}


def error(c, problems):
    """The spread of the logarithm of model over measurement, where tiles near the fastest count most, and the regrets."""
    weights = total = square = 0
    for rows in problems.values():
        best = min(row.ms for row in rows)
        for row in rows:
            weight = (best / row.ms) ** 2 / len(rows)
            difference = math.log(estimate(c, row) / row.ms)
            weights, total, square = weights + weight, total + weight * difference, square + weight * difference ** 2
    spread = square / weights - (total / weights) ** 2
    return spread + 4 * sum(ratio - 1 for ratio in regret(c, problems).values())


def fit(c, problems):
    draw = random.Random(SEED)
    best, least = dict(c), error(c, problems)
    for step in range(STEPS):
        width = 0.7 * (1 - step / STEPS) + 0.02
        trial = dict(best)
        for name in draw.sample(FREE, draw.choice((1, 1, 2, 3))):
            trial[name] *= math.exp(draw.gauss(0, width))
        if (value := error(trial, problems)) < least:
            best, least = trial, value
    return best


def show(title, c, problems):
    print(f"{title}: {', '.join(f'{name} {c[name]:.4g}' for name in FREE)}")
    for batch, ratio in regret(c, problems).items():
        print(f"  batch {batch}: the chosen tiles take {ratio:.3f} times as long as the fastest")


def show_worst(c, problems, count=12):
    losses = []
    for problem, rows in problems.items():
        choice, best = min(rows, key=lambda row: estimate(c, row)), min(rows, key=lambda row: row.ms)
        losses.append((rows[0].count * (choice.ms - best.ms), problem, choice, best))
    for loss, (batch, shape, _), choice, best in sorted(losses, key=lambda item: -item[0])[:count]:
        if loss > 0:
            print(f"  batch {batch:4} {shape:26} {choice.tile_name:12} {1e3 * choice.ms:8.1f} us; {best.tile_name:12} "
                  f"{1e3 * best.ms:8.1f} us; {1e3 * loss:8.1f} us in the network")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="LAYERS.json")
    parser.add_argument("--source", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parent.parent / "src/nn/cuda_tiles.cpp")
    parser.add_argument("--fit", action="store_true", help="look for better constants; some minutes")
    arguments = parser.parse_args()
    constants, rows = constants_of(arguments.source), read(arguments.files)
    problems = problems_of(rows)
    check_model(constants, rows)
    show("as built", constants, problems)
    show_worst(constants, problems)
    if arguments.fit:
        better = fit(constants, problems)
        show(f"fitted (seed {SEED})", better, problems)
        show_worst(better, problems)


if __name__ == "__main__":
    main()
