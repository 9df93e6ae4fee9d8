"""One peer in a process of its own, obeying the same lines as worker_adaface.cpp:
    worker.py embed  PEER FOLDER CROPS BATCH THREADS PRECISION
    worker.py detect PEER FOLDER IMAGE THREADS MODE
"run N" -> nanoseconds elapsed, nanoseconds of CPU in all threads;  "output" -> the result as JSON."""
import json
import os
import sys
import time

import numpy as np


def embedding(peer, folder, crops, batch, threads, precision):
    import embed_peers
    pixels = np.fromfile(crops, np.uint8).reshape(-1, 112, 112, 3)[:int(batch)]
    return embed_peers.PEERS[peer](folder, embed_peers.normalised_input(pixels), int(threads), precision)


def detection(peer, folder, image, threads, mode):
    import detect_peers
    return detect_peers.PEERS[peer](folder, image, int(threads), mode)


def main():
    # what the libraries print must not be taken for an answer
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(text):
        answers.write(text + "\n")
        answers.flush()

    peer = {"embed": embedding, "detect": detection}[sys.argv[1]](*sys.argv[2:])
    peer.run()
    answer(json.dumps({"version": peer.version, "variant": peer.variant}))
    for line in sys.stdin:
        command = line.split()
        if command[0] == "output":
            answer(json.dumps(np.asarray(peer.run(), np.float64).tolist()))
            continue
        cpu, start = time.process_time_ns(), time.perf_counter_ns()
        for _ in range(int(command[1])):
            peer.run()
        elapsed = time.perf_counter_ns() - start
        answer(f"{elapsed} {time.process_time_ns() - cpu}")


if __name__ == "__main__":
    main()
