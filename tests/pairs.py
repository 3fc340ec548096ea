"""Two processes on loopback that are the workers of one run."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parents[1]


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [s.getsockname()[1] for s in sockets]


def addresses(count: int = 2) -> list[str]:
    return [f"127.0.0.1:{port}" for port in free_ports(count)]


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
