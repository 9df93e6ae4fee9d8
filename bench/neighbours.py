#!/usr/bin/env python3
"""How the engine and its neighbours slow each other on the same CPUs.

  bench/neighbours.py [--adaface build/tools/adaface/adaface] --model ir_101.afw [--repetitions 40] [--rounds 5]

Each round, in turn: the engine alone on all CPUs; two engines, each on all CPUs; the engine beside a process that
computes without pause on one thread, and that process alone. Prints the median of how much longer each takes beside
the other, and what its share of the CPUs, one for each thread that wants to run, would make it take.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

BUSY = """
import sys, time
end, count = time.monotonic() + float(sys.argv[1]), 0
while time.monotonic() < end:
    for _ in range(10000): count += 1
print(count)
"""


def engine(arguments, cpus):
    # As many embeddings as fit: the program times each, so the loading before them does not count.
    return subprocess.Popen(
        [arguments.adaface, "bench", "--json", "--model", arguments.model, "--threads", str(cpus), "--repetitions",
         str(arguments.repetitions)], stdout=subprocess.PIPE, text=True)


def busy(arguments, seconds):
    return subprocess.Popen([sys.executable, "-c", BUSY, str(seconds)], stdout=subprocess.PIPE, text=True)


def milliseconds(process):
    return json.loads(process.communicate()[0])["ms"]["median"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adaface", default="build/tools/adaface/adaface")
    parser.add_argument("--model", required=True)
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    cpus = len(os.sched_getaffinity(0))
    ratios = {"an engine beside another engine": [], "an engine beside a busy thread": [],
              "a busy thread beside an engine": []}
    for _ in range(arguments.rounds):
        start = time.monotonic()
        alone = milliseconds(engine(arguments, cpus))
        seconds = time.monotonic() - start
        both = [engine(arguments, cpus), engine(arguments, cpus)]
        ratios["an engine beside another engine"].append(statistics.mean(map(milliseconds, both)) / alone)
        # The busy thread runs for as long as the engine beside it may take.
        free = int(busy(arguments, seconds).communicate()[0])
        neighbour = busy(arguments, seconds)
        beside = engine(arguments, cpus)
        ratios["a busy thread beside an engine"].append(free / int(neighbour.communicate()[0]))
        ratios["an engine beside a busy thread"].append(milliseconds(beside) / alone)
    share = {"an engine beside another engine": 2, "an engine beside a busy thread": (cpus + 1) / cpus,
             "a busy thread beside an engine": (cpus + 1) / cpus}
    print(f"{cpus} CPUs, {arguments.rounds} rounds of {arguments.repetitions} embeddings; times as long as alone, median")
    for name, values in ratios.items():
        print(f"  {name}: {statistics.median(values):.2f}   (its share: {share[name]:.2f})")


if __name__ == "__main__":
    main()
