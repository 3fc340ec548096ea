"""A process that is killed while it changes an index."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dseh_tf.retrieval.search import open_index
from tests.retrieval.search.oracle import engine_parameters

ROOT = Path(__file__).parents[3]

CHILD = """
import os, signal, sys, time
import numpy as np
from dseh_tf.retrieval.search import open_index
path, stop = sys.argv[1], int(sys.argv[2])
index = open_index(path)
codes = np.random.default_rng(1).integers(0, 256, (20000, 8), np.uint8)
if stop < 0 and os.fork() == 0:
    time.sleep(-stop / 1000)
    os.kill(os.getppid(), signal.SIGKILL)
    os._exit(0)
steps = 0
def step():
    global steps
    steps += 1
    if steps == stop:
        os.kill(os.getpid(), signal.SIGKILL)
def profile(frame, event, argument):
    if event == "c_call" and argument.__name__ in ("write", "rename", "replace"):
        step()
    if event == "call" and frame.f_code.co_name in ("execute", "copy", "_commit_gen"):
        step()
class Stepping:
    def __init__(self, connection):
        self.connection = connection
    def __getattr__(self, name):
        step()
        return getattr(self.connection, name)
if hasattr(index, "_connection"):
    index._connection = Stepping(index._connection)
sys.setprofile(profile if stop >= 0 else None)
index.add(codes, [f"new{i}" for i in range(len(codes))], ["dog"] * len(codes))
index.save(path)
sys.setprofile(None)
print(steps)
"""


@pytest.mark.slow
@pytest.mark.parametrize("engine", engine_parameters("exact", "duckdb", "pgvector"))
def test_a_kill_in_the_middle_of_an_add_leaves_the_state_before_or_after_it(engine, make, place):
    """The process is killed at a call that it makes between the beginning of `add` and the end of `save`, or after a time."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 256, (500, 8), np.uint8)
    fresh, states = make(engine, 64), set()
    fresh.add(codes, [f"old{i}" for i in range(500)], ["sea"] * 500)
    before = fresh.range(codes[:3], 20)

    def child(stop: int) -> subprocess.CompletedProcess:
        path = place(engine, f"index{stop}")
        fresh.save(path)
        command = [sys.executable, "-c", CHILD, str(path), str(stop)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    counted = child(0)
    assert counted.returncode == 0, counted.stderr
    steps = int(counted.stdout)
    for stop in (*np.linspace(1, steps, 6).round().astype(int).tolist(), -100):
        killed = child(stop)
        assert killed.returncode == -9 or stop < 0, killed.stderr
        index = open_index(place(engine, f"index{stop}"))
        states.add(len(index))
        print(engine, stop, len(index))
        assert len(index) in (500, 20500)
        assert len(index.range(codes[:1], 64, label="dog")[0][0]) == len(index) - 500
        if len(index) == 500:
            for (ids, distances), (old, far) in zip(index.range(codes[:3], 20), before, strict=True):
                assert ids.tolist() == old.tolist() and distances.tolist() == far.tolist()
        index.close()
    fresh.close()
    assert 500 in states
