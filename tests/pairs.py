"""Two processes on loopback that are the workers of one run."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

ROOT = Path(__file__).parents[1]


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [s.getsockname()[1] for s in sockets]


def addresses(count: int = 2) -> list[str]:
    return [f"127.0.0.1:{port}" for port in free_ports(count)]


def knock(workers: Sequence[str], index: int) -> socket.socket:
    """Comes to worker 0 as a worker does, and then says nothing."""
    from dseh_tf.devices import frames, meeting

    host, port = workers[0].split(":")
    for _ in range(100):
        try:
            connection = socket.create_connection((host, int(port)), timeout=5)
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    hello = json.dumps({"addresses": list(workers), "index": index}).encode()
    frames.send(connection, frames.DATA, meeting._HELLO, hello)
    return connection


def environment(workers: list[str], index: int) -> dict[str, str]:
    """The environment of a worker."""
    config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
    return {**os.environ, "TF_CONFIG": json.dumps(config), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}


def start(workers: list[str], index: int, *arguments: object) -> subprocess.Popen[str]:
    """Starts one worker: `python ARGUMENTS` in the project's folder."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=environment(workers, index),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def ends(processes: list[subprocess.Popen[str]], timeout: float = 300) -> list[tuple[int, str, str]]:
    """Exit status, output and errors of each; processes that have not ended in time are killed."""
    found = []
    try:
        for process in processes:
            out, errors = process.communicate(timeout=timeout)
            found.append((process.returncode, out, errors))
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
    return found


SERVER = """
import json, os, sys, threading
import tensorflow
from experiments import program, run

def waited(pid, file):
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with open(file + ".partial", "w") as status:
        status.write(str(code))
    os.replace(file + ".partial", file)

print("ready", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    pid = os.fork()
    if not pid:
        os.environ.update(asked["environment"])
        for number, file in ((0, os.devnull), (1, asked["name"] + ".out"), (2, asked["name"] + ".err")):
            os.dup2(os.open(file, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), number)
        sys.argv = ["run", *asked["arguments"]]
        program.run(run.main)
    print(pid, flush=True)
    threading.Thread(target=waited, args=(pid, asked["name"] + ".status"), daemon=True).start()
"""


class Started:
    """A run in a process of its own."""

    def __init__(self, pid: int, name: Path) -> None:
        self.pid, self._name, self._begun = pid, name, time.monotonic()

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs."""
        file = Path(f"{self._name}.status")
        return int(file.read_text()) if file.exists() else None

    @property
    def errors(self) -> str:
        return Path(f"{self._name}.err").read_text()

    @property
    def output(self) -> str:
        return Path(f"{self._name}.out").read_text()

    @property
    def line(self) -> str:
        """The one line with which it ended."""
        lines = [line for line in self.errors.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.errors
        assert "Traceback" not in self.errors, self.errors
        return lines[0].removeprefix("error: ")

    def ended(self, timeout: float = 600) -> int:
        """Waits for the exit status."""
        deadline = time.monotonic() + timeout
        while self.status is None:
            assert time.monotonic() < deadline, f"still there after {timeout} s: {self.errors}"
            time.sleep(0.02)
        return self.status


class Runs:
    """Starts `experiments.run` in processes forked from one that has imported TensorFlow and not used it yet."""

    def __init__(self, room: Path) -> None:
        self._room, self._count, self._started = room, 0, list[Started]()
        command = [sys.executable, "-c", SERVER]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
        pipe = subprocess.PIPE
        self._server = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True)
        assert self._server.stdout and self._server.stdout.readline() == "ready\n"

    def start(self, *arguments: str, worker: tuple[list[str], int] | None = None, **more: str) -> Started:
        """Starts a run; `worker` is (addresses, index), `more` further environment variables."""
        self._count += 1
        name = self._room / str(self._count)
        given = more if worker is None else {"TF_CONFIG": environment(*worker)["TF_CONFIG"], **more}
        asked = {"environment": given, "name": str(name), "arguments": ["--noprogress", *arguments]}
        assert self._server.stdin and self._server.stdout
        print(json.dumps(asked), file=self._server.stdin, flush=True)
        self._started.append(Started(int(self._server.stdout.readline()), name))
        return self._started[-1]

    def pair(self, *arguments: str, second: tuple[str, ...] | None = None) -> list[Started]:
        """Starts two workers; `second` are the flags of worker 1 where they differ."""
        workers = addresses()
        given = ("--strategy=multi_worker", *arguments), ("--strategy=multi_worker", *(second or arguments))
        return [self.start(*given[i], worker=(workers, i)) for i in (0, 1)]

    def close(self) -> None:
        for started in self._started:
            if started.status is None:
                with suppress(ProcessLookupError):
                    os.kill(started.pid, signal.SIGKILL)
        assert self._server.stdin
        self._server.stdin.close()
        self._server.wait(20)
