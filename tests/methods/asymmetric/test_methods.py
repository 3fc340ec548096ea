"""All asymmetric methods: codes of both kinds, replicas, resume, bad input."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dseh_tf.errors import InputError
from tests.methods.asymmetric.small import OWN, fit, small_dataset

pytestmark = pytest.mark.usefixtures("tf")

NAMES = tuple(OWN)
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def whole():
    return {name: fit(name) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_codes_of_both_kinds(whole, name):
    """Learned codes for training rows wherever they are in a split, the network's for rows that came later."""
    fitted, dataset = whole[name], small_dataset()
    later, known = dataset.query, dataset.database
    np.testing.assert_array_equal(fitted.database_ids, known.ids)
    np.testing.assert_array_equal(fitted.encode_database(known.take(np.arange(96)[::-1])), fitted.database_codes[::-1])
    mixed = replace(
        later.take(np.arange(6)),
        ids=np.array([*later.ids[:3], *known.ids[40:43]]),
        features=np.concatenate([later.features[:3], known.features[40:43]]),
    )
    codes = fitted.encode_database(mixed)
    np.testing.assert_array_equal(codes[:3], fitted.encode(later)[:3])
    np.testing.assert_array_equal(codes[3:], fitted.database_codes[40:43])
    assert codes.dtype == np.int8 and set(np.unique(fitted.database_codes)) == {-1, 1}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("replicas", [2, 4])
def test_a_run_on_replicas_is_the_same_run(whole, name, replicas):
    from dseh_tf.devices.replicas import make_strategy
    from dseh_tf.devices.runtime import Runtime

    several = fit(name, Runtime(strategy=make_strategy("mirrored", replicas), progress=False))
    assert set(several.traces) == set(whole[name].traces)
    for term, values in whole[name].traces.items():
        np.testing.assert_allclose(several.traces[term], values, rtol=1e-3, atol=1e-5, err_msg=term)
    np.testing.assert_array_equal(several.database_codes, whole[name].database_codes)


class Interrupted(Exception):
    """Like a power cut, in the process of the test."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("checkpoint_steps", [1, 5, 1000])
@pytest.mark.parametrize("place", ["phase", "codes"])
def test_interrupted_and_resumed_to_the_same_codes(tmp_path, monkeypatch, whole, name, checkpoint_steps, place):
    """In the steps of the third round, or before its codes are solved; from the last checkpoint, or from the start."""
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods import METHODS
    from dseh_tf.training.trainer import Trainer

    runtime = Runtime(progress=False, checkpoints=tmp_path / "c", checkpoint_steps=checkpoint_steps)
    recipe = METHODS[name].Recipe
    with monkeypatch.context() as patch:
        if place == "phase":
            record = Trainer._record

            def cut(self, phase, step, *others) -> None:
                if phase.round == 2 and step >= 5:
                    raise Interrupted
                record(self, phase, step, *others)

            patch.setattr(Trainer, "_record", cut)
        else:
            solve = recipe.solve

            def cut_before(self, round_: int) -> None:
                if round_ == 2:
                    raise Interrupted
                solve(self, round_)

            patch.setattr(recipe, "solve", cut_before)
        with pytest.raises(Interrupted):
            fit(name, runtime)
    # The rounds are too short for checkpoints of their own; LabNet's phase has one.
    assert (tmp_path / "c").exists() == (checkpoint_steps < 1000 or name == "dsah")
    resumed = fit(name, runtime)
    np.testing.assert_array_equal(resumed.database_codes, whole[name].database_codes)
    for term, values in whole[name].traces.items():
        np.testing.assert_array_equal(resumed.traces[term], values, err_msg=term)
    assert resumed.results == whole[name].results


# TensorFlow is imported once and forked before its first use.
KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
import tensorflow as tf
sys.path.insert(0, {root!r})
from dseh_tf.methods import METHODS
from dseh_tf.devices.runtime import Runtime
from dseh_tf.training.trainer import Trainer
from tests.methods.asymmetric.small import OWN, fit

room = Path(sys.argv[1])

def train(name, folder):
    tf.config.experimental.enable_op_determinism()
    runtime = Runtime(progress=False, checkpoints=room / folder / "checkpoints", checkpoint_steps=3)
    fitted = fit(name, runtime)
    np.save(room / f"{{folder}}.npy", fitted.database_codes)

def in_phase(self, phase, step, *others):
    if phase.round == 2 and step >= 4:
        os.kill(os.getpid(), signal.SIGKILL)
    record(self, phase, step, *others)

def in_solve(self, round_):
    if round_ == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    solve(self, round_)

def child(work):
    pid = os.fork()
    if not pid:
        work()
        os._exit(0)
    return os.waitpid(pid, 0)[1]

record = Trainer._record
for name in OWN:
    recipe = METHODS[name].Recipe
    solve = recipe.solve
    def killed(name=name):
        Trainer._record, recipe.solve = (in_phase, solve) if where == "phase" else (record, in_solve)
        train(name, name + where)
    for where in ("phase", "solve"):
        status = child(killed)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (name, where, status)
        assert list((room / (name + where) / "checkpoints").iterdir())
        assert child(lambda: train(name, name + where)) == 0
    assert child(lambda: train(name, name + "alone")) == 0
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork") or not hasattr(signal, "SIGKILL"), reason="POSIX")
def test_killed_and_resumed_to_the_same_codes(tmp_path):
    """SIGKILL in the network's phase and in the V-step."""
    program = tmp_path / "train.py"
    program.write_text(KILLED.format(root=str(ROOT)))
    done = subprocess.run([sys.executable, str(program), str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in NAMES:
        alone = np.load(tmp_path / f"{name}alone.npy")
        for where in ("phase", "solve"):
            np.testing.assert_array_equal(np.load(tmp_path / f"{name}{where}.npy"), alone)


def changed(dataset, which: str):
    """The data set with a database that is not its training rows."""
    train, database = dataset.train, dataset.database
    if which == "part":
        return dataset.replace(train=train.take(np.arange(90)))
    if which == "others":
        query = dataset.query
        return dataset.replace(database=replace(database, ids=np.array([*query.ids[:4], *database.ids[4:]])))
    labels = np.zeros_like(database.labels)
    if which == "unlabelled":
        return dataset.replace(train=replace(train, labels=labels), database=replace(database, labels=labels))
    labels = database.labels.copy()
    labels[5] = 1 - labels[5]
    return dataset.replace(database=replace(database, labels=labels))


@pytest.mark.parametrize(
    ("which", "line"),
    [
        (
            "part",
            "train rows: found 90 of the 96 database rows and 0 others, expected the whole database and no others",
        ),
        ("others", "train rows: found 92 of the 96 database rows and 4 others, expected the whole database"),
        ("unlabelled", "database labels: found none in the 96 rows, expected some"),
        ("labels", "database labels: found labels that differ from the training rows in row 5 (train/"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_the_database_has_to_be_the_training_rows(name, which, line):
    with pytest.raises(InputError, match=f"^{re.escape(line)}"):
        fit(name, dataset=changed(small_dataset(), which))


def test_a_sample_larger_than_the_database():
    with pytest.raises(InputError, match=r"^sample: found 97, expected at most the 96 database rows \(--set=sample"):
        fit("adsh", sample=97)
