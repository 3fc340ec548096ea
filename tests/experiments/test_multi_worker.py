"""Runs of two processes with one run folder: their results, and what happens where one of them is missed or differs."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from dseh_tf.data import RetrievalDataset
from dseh_tf.devices.cluster import Cluster
from dseh_tf.devices.workers import Workers
from dseh_tf.errors import InputError
from dseh_tf.retrieval import evaluate, load_codes
from experiments.multi_worker import check_data, chief_first
from tests.pairs import Runs, addresses

# 160 rows in batches of 32 are 5 steps an epoch.
FLAGS = (
    "--dataset=image_lists", "--method=dpsh", "--bits=16", "--image_size=16", "--set=batch=32", "--set=epochs=30",
    "--checkpoint_steps=20", "--worker_silence=20", "--worker_timeout=60",
)  # fmt: skip
STEPS = 150
SILENCE = 20.0  # a worker without processor time says nothing
SLACK = 30.0  # seconds, for a busy machine


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Iterator[Runs]:
    found = Runs(tmp_path_factory.mktemp("processes"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def flags(lists, tmp_path_factory) -> tuple[str, ...]:
    return (*FLAGS, f"--lists_dir={lists}", f"--data_dir={tmp_path_factory.mktemp('data')}")


@pytest.fixture(scope="module")
def expected(runs, flags, tmp_path_factory) -> Path:
    """The folder of an undisturbed run of one process with two replicas."""
    workdir = tmp_path_factory.mktemp("expected") / "run"
    process = runs.start("--replicas=2", *flags, f"--workdir={workdir}")
    assert process.ended() == 0, process.errors
    return workdir


def steps(workdir: Path) -> int:
    """Steps in the newest whole checkpoint."""
    whole = sorted(f for f in (workdir / "checkpoints").glob("*/progress.json") if f.parent.name.isdigit())
    try:
        return json.loads(whole[-1].read_text())["done"].get("dpsh/0", 0) if whole else 0
    except OSError:  # pruned between the listing and the reading
        return 0


def wait_for(workdir: Path, more_than: int, process) -> None:
    while steps(workdir) <= more_than:
        assert process.status is None, process.errors
        time.sleep(0.01)
    assert steps(workdir) < STEPS


def assert_same(workdir: Path, expected: Path) -> None:
    """Codes, every loss, and the numbers of result.json; and the numbers are those of the codes."""
    for name in ("codes.npz", "losses.npz", "counts.npz"):
        with np.load(workdir / name) as found, np.load(expected / name) as wanted:
            assert set(found) == set(wanted)
            for key in wanted:
                np.testing.assert_array_equal(found[key], wanted[key], err_msg=f"{name}: {key}")
    numbers, wanted = (json.loads((folder / "result.json").read_text()) for folder in (workdir, expected))
    timed = {name for name in wanted if name.endswith("_seconds")}
    assert {k: v for k, v in numbers.items() if k not in timed} == {k: v for k, v in wanted.items() if k not in timed}
    codes = load_codes(workdir / "codes.npz", bits=16)
    report = evaluate(codes.query_codes, codes.database_codes, codes.query_labels, codes.database_labels, bits=16)
    assert numbers["map"] == report.map and numbers["map_stable_order"] == report.map_stable_order


@pytest.mark.slow
def test_killed_then_stopped_then_finished(runs, flags, expected, tmp_path):
    """One folder for both workers, three starts: the first loses worker 1, the second worker 0."""
    workdir, chiefs = tmp_path / "run", set[int]()
    arguments = (*flags, f"--workdir={workdir}")

    chief, other = runs.pair(*arguments)
    chiefs.add(chief.pid)
    wait_for(workdir, 0, chief)
    os.kill(other.pid, signal.SIGKILL)
    killed = time.monotonic()
    assert chief.ended() == 2
    assert time.monotonic() - killed < SLACK
    assert "worker 1 (127.0.0.1:" in chief.line
    assert chief.line.endswith(") does not answer: it has ended; start all workers again, and they resume")
    assert other.ended() == -signal.SIGKILL

    saved = steps(workdir)
    assert 0 < saved < STEPS
    # A worker with a folder of its own, where a checkpoint is missing: no step is taken.
    own = tmp_path / "own"
    shutil.copytree(workdir, own)
    newest = max(f for f in (own / "checkpoints").iterdir() if f.name.isdigit())
    shutil.rmtree(newest)
    chief, other = runs.pair(*arguments, second=(*flags, f"--workdir={own}"))
    chiefs.add(chief.pid)
    assert (chief.ended(), other.ended()) == (2, 2)
    manifest = newest / "manifest.json"
    assert other.line.startswith(
        f"{manifest}: found no file, expected checkpoint {newest.name} of worker 0 (manifest's "
    )
    assert chief.line.startswith("worker 1 (127.0.0.1:") and chief.line.endswith(f"): {other.line}")
    assert steps(workdir) == saved and not (own / "result.json").exists()

    chief, other = runs.pair(*arguments)
    chiefs.add(chief.pid)
    wait_for(workdir, saved, chief)
    os.kill(chief.pid, signal.SIGSTOP)
    stopped = time.monotonic()
    assert other.ended() == 2
    assert time.monotonic() - stopped < SILENCE + SLACK
    assert other.line.startswith("worker 0 (127.0.0.1:")
    assert other.line.endswith(
        f") does not answer: nothing came from it for {SILENCE:g} s; start all workers again, and they resume"
    )
    os.kill(chief.pid, signal.SIGKILL)
    assert chief.ended() == -signal.SIGKILL

    chief, other = runs.pair(*arguments)
    chiefs.add(chief.pid)
    assert (chief.ended(), other.ended()) == (0, 0), chief.errors + other.errors
    assert "MAP" in chief.output and "run folder" in chief.output and not other.output
    assert_same(workdir, expected)
    assert sorted(entry.name for entry in workdir.iterdir()) == sorted(entry.name for entry in expected.iterdir())
    writers = {int(file.name.split(".")[5]) for file in (workdir / "tensorboard").glob("events*")}
    assert chief.pid in writers and writers <= chiefs

    finished = runs.pair(*arguments)
    assert [worker.ended() for worker in finished] == [0, 0]
    assert "this run is finished" in finished[0].output


def test_a_worker_of_another_configuration(runs, flags, tmp_path):
    workdir = tmp_path / "run"
    arguments = (*flags, f"--workdir={workdir}")
    chief, other = runs.pair(*arguments, second=(*arguments, "--seed=1"))
    assert (chief.ended(), other.ended()) == (2, 2)
    line = f"{workdir / 'config.json'}: seed: found 0, expected 1; start all workers with the same flags and files"
    assert other.line == line
    assert chief.line.startswith("worker 1 (127.0.0.1:") and chief.line.endswith(f"): {line}")


def test_a_worker_with_a_folder_of_its_own(runs, flags, tmp_path):
    mine, its = ((*flags, f"--workdir={tmp_path / name}") for name in ("mine", "its"))
    chief, other = runs.pair(*mine, second=its)
    assert (chief.ended(), other.ended()) == (2, 2)
    assert other.line.startswith(f"{tmp_path / 'its' / 'config.json'}: found no file, expected worker 0's (CRC-32 ")
    assert other.line.endswith("): --workdir is one folder that all workers share")
    assert other.line in chief.line
    assert not (tmp_path / "its").exists()


def test_a_worker_that_does_not_come(runs, flags, tmp_path):
    workers = addresses(3)
    arguments = ("--strategy=multi_worker", *flags, "--worker_timeout=3", f"--workdir={tmp_path / 'run'}")
    started = [runs.start(*arguments, worker=(workers, index)) for index in (0, 2)]
    begun = time.monotonic()
    assert [worker.ended() for worker in started] == [2, 2]
    assert time.monotonic() - begun < 3 + SLACK
    for worker in started:
        assert worker.line == f"worker 1 ({workers[1]}) did not connect within 3 s (--worker_timeout)"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ("{", "TF_CONFIG: found '{', expected JSON"),
        ('{"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}', "found a:1 twice"),
    ],
)  # fmt: skip
def test_a_bad_configuration(runs, flags, tmp_path, config, line):
    started = runs.start("--strategy=multi_worker", *flags, f"--workdir={tmp_path / 'run'}", TF_CONFIG=config)
    assert started.ended() == 2
    assert line in started.line
    assert not (tmp_path / "run").exists()


def test_workers_with_other_data(rng):
    """The rows that differ are named. Threads, without TensorFlow."""
    labels = np.eye(4, dtype=np.uint8)[rng.integers(0, 4, 20)]
    features = rng.standard_normal((20, 3))
    other = labels.copy()
    other[3] = 1 - other[3]
    datasets = [RetrievalDataset.from_arrays((features, one), (features[:5], labels[:5])) for one in (labels, other)]
    names = tuple(addresses())

    def check(index: int) -> str:
        try:
            workers = Workers(Cluster(names, index))
            with pytest.raises(InputError) as error:
                check_data(workers, datasets[index])
            return str(error.value)
        finally:
            if index:
                workers.fail(str(error.value))

    with ThreadPoolExecutor(2) as pool:
        chief, line = pool.map(check, (0, 1))
    assert re.fullmatch(
        r"arrays: train: found 20 rows of CRC-32 \w{8}, expected 20 rows of CRC-32 \w{8} as worker 0", line
    )
    assert chief == f"worker 1 ({names[1]}): {line}"


def test_the_chief_is_first():
    """What worker 0 prepares is there when the others look."""
    names, done = tuple(addresses(3)), []

    def act(index: int) -> int:
        workers = Workers(Cluster(names, index))
        found = chief_first(workers, "data", lambda: done.append(index) or index)
        workers.finish()
        return found

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(act, range(3))) == [0, 1, 2]
    assert done[0] == 0 and sorted(done) == [0, 1, 2]
