"""One of the compared programs in a process of its own. Processes keep interpreters, thread pools and CPU masks
apart; between two runs none of them may be busy."""
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
OURS = "adaface"
SETTLE_S = 1.0  # a pool that spins longer than this after its work is left to itself


@dataclasses.dataclass(frozen=True)
class Contender:
    name: str  # "adaface" or a peer's
    setting: str  # a precision, or MTCNN's mode
    threads: int

    def label(self):
        return f"{self.name} {self.setting}"


def cpus_of(threads):
    """One thread: the last CPU, for every contender the same. Several: the first ones."""
    cpus = sorted(os.sched_getaffinity(0))
    return set(cpus[-1:] if threads == 1 else cpus[:threads])


class Process:
    def __init__(self, command, threads, log):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS_")}
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[name] = str(threads)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                                        env=environment, cwd=HERE,
                                        preexec_fn=lambda: os.sched_setaffinity(0, cpus_of(threads)))
        try:
            self.about = json.loads(self.answer())
        except Exception:
            self.close()
            raise

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"ended with {self.process.wait()} (see its log)")
        return line

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.answer()

    def run(self, times):
        """Milliseconds elapsed and of CPU, of one run; waits until the process sleeps again."""
        elapsed, cpu = map(int, self.ask(f"run {times}").split())
        until = time.monotonic() + SETTLE_S
        while self.busy() and time.monotonic() < until:
            time.sleep(0.002)
        return elapsed / times / 1e6, cpu / times / 1e6

    def busy(self):
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                if task.joinpath("stat").read_text().rsplit(")", 1)[1].split()[0] == "R":
                    return True
            except OSError:  # it ended meanwhile
                continue
        return False

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def output(self):
        return json.loads(self.ask("output"))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def command_of(contender, work, arguments):
    """arguments: those of worker_adaface.cpp by name; folder is the peers'."""
    worker = os.path.abspath(arguments["worker"])
    if contender.name == OURS:
        names = ("model", "crops", "batch") if work == "embed" else ("model", "image")
        setting = "precision" if work == "embed" else "mode"
        return [worker, work, *(f"--{name}={arguments[name]}" for name in names),
                f"--threads={contender.threads}", f"--{setting}={contender.setting}"]
    if work == "embed":
        rest = [arguments["crops"], arguments["batch"], contender.threads, contender.setting]
    else:
        rest = [arguments["image"], contender.threads, contender.setting]
    return [sys.executable, "-W", "ignore", str(HERE / "worker.py"), work, contender.name, str(arguments["folder"]),
            *map(str, rest)]
