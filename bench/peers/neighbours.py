"""How busy everybody else kept the CPUs while something was measured."""
import os
import pathlib
import time


class Watch:
    def __init__(self, processes):
        self.processes = processes
        self.begin = self.state()

    def state(self):
        user, nice, system, _, _, irq, softirq, steal = map(int, pathlib.Path("/proc/stat").read_text().split()[1:9])
        tick = os.sysconf("SC_CLK_TCK")
        ours = sum(process.cpu_seconds() for process in self.processes) + time.process_time()
        return time.monotonic(), (user + nice + system + irq + softirq) / tick - ours, steal / tick

    def shares(self):
        """Of all CPUs' time since the start: what other processes used, and what the machine's host withheld."""
        now = self.state()
        whole = (now[0] - self.begin[0]) * os.cpu_count()
        return {"others": max(now[1] - self.begin[1], 0) / whole, "withheld": (now[2] - self.begin[2]) / whole}
