"""Every registered method: fit, codes, settings, saving; and of those that train a network replicas and resumed runs.

A method that joins `METHODS` is tested here without a line of its own; `tests/methods/small.py` has the settings.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from dseh_tf.errors import InputError
from dseh_tf.methods import METHODS

from .small import BITS, SEED, assert_same, fit, small_dataset, small_settings, values
from .two_workers import arrays_of

pytestmark = pytest.mark.usefixtures("tf")

ROOT = Path(__file__).parents[2]
TRAINED = [name for name, kind in METHODS.items() if "trunk" in kind.OPTIONS]
OTHERS = [name for name in METHODS if name not in TRAINED]
# Ablations have the recipe of their method, with other settings: two replicas and interruption are enough.
FULL = [name for name in TRAINED if not METHODS[name].__module__.endswith(".variants")]
# In the first round of an asymmetric method there are no codes to learn from, or phases of three steps.
LEARNING = [name for name in TRAINED if not METHODS[name].learns_database]
CHECKPOINT_STEPS, LONG = 9, 15
SAME_STEPS = 5  # of the first phase: later, the order of float32 sums shows


def phases(fitted) -> dict[str, int]:
    """The number of steps by phase, in order."""
    return {key.removesuffix("/total"): len(trace) for key, trace in fitted.traces.items() if key.endswith("/total")}


# Codes


@pytest.mark.parametrize("name", METHODS)
def test_codes_are_signs(whole, name):
    """Of a split and of an array; asymmetric methods have codes of the database besides."""
    fitted, dataset = whole(name), small_dataset()
    codes = fitted.encode(dataset.query)
    assert codes.dtype == np.int8 and codes.shape == (24, BITS) and set(np.unique(codes)) == {-1, 1}
    np.testing.assert_array_equal(codes, np.where(values(fitted, dataset.query) >= 0, 1, -1))
    of_array = fitted.encode(dataset.query.features)
    assert of_array.dtype == np.int8
    np.testing.assert_array_equal(of_array, codes)
    learnt = fitted.database_codes
    if learnt is not None:
        assert learnt.dtype == np.int8 and learnt.shape == (len(dataset.database), BITS)
        assert set(np.unique(learnt)) == {-1, 1}


@pytest.mark.parametrize("name", OTHERS)
def test_one_seed_gives_the_same_codes(whole, name):
    """Methods that train a network fit twice in `test_interrupted_and_resumed`."""
    assert_same(fit(name), whole(name))


@pytest.mark.parametrize("name", LEARNING)
def test_the_loss_falls(whole, name):
    """In the first phase of every network."""
    fitted = whole(name)
    for phase, steps in phases(fitted).items():
        total = fitted.traces[f"{phase}/total"]
        assert steps >= LONG and np.isfinite(total).all(), phase
        assert not phase.endswith("/0") or total[-6:].mean() < total[:6].mean(), phase


# Settings


@pytest.mark.parametrize("name", METHODS)
def test_a_setting_that_is_not_known(name):
    with pytest.raises(InputError) as error:
        METHODS[name](BITS, no_such_setting=1)
    known = ", ".join(sorted(field.name for field in fields(METHODS[name].Settings))) or "none"
    assert str(error.value) == f"{name}: found setting 'no_such_setting', expected one of {known}"


@pytest.mark.parametrize("name", METHODS)
def test_a_setting_of_another_type(name):
    for field in fields(METHODS[name].Settings):
        wrong = 3 if field.type == "str" else "many"
        with pytest.raises(InputError) as error:
            METHODS[name](BITS, **{field.name: wrong})
        line = str(error.value)
        assert line.startswith(f"{field.name}: found {wrong!r}, expected ") and "\n" not in line


@pytest.mark.parametrize("name", METHODS)
def test_every_setting_has_a_source(name):
    """Before `fit`, and for the data it is fitted on; "given" is what was given and nothing else."""
    kind, chosen = METHODS[name], small_settings(name)
    known = {field.name for field in fields(kind.Settings)}
    method = kind(BITS, SEED, **chosen)
    for resolved in (method.resolved, method.resolve(features=True)):
        assert set(resolved.origin) == known and all(resolved.origin.values())
        assert {setting for setting, source in resolved.origin.items() if source == "given"} == set(chosen) & known
        for setting in set(chosen) & known:
            found = getattr(resolved.settings, setting)
            assert chosen[setting] == (found[0] if isinstance(found, tuple) else found)


# Saving

LOADED = """
import sys
from pathlib import Path
import numpy as np
from dseh_tf import load_run

root = Path(sys.argv[1])
assert "tensorflow" not in sys.modules
for folder in sorted((path for path in root.iterdir() if path.is_dir()), key=lambda path: (path / "imgnet.keras").exists()):
    encoder, features = load_run(folder), np.load(root / "features.npy")
    np.savez(root / f"{folder.name}.npz", codes=encoder.encode(features), outputs=encoder.outputs(features))
    if not (folder / "imgnet.keras").exists():
        assert "tensorflow" not in sys.modules, folder.name
"""


def test_every_method_is_loaded_in_a_fresh_process(whole, tmp_path):
    """`load_run` gives the same outputs and codes. A method without a network needs no TensorFlow there."""
    features = small_dataset().database.features
    np.save(tmp_path / "features.npy", features)
    for name in METHODS:
        fitted, folder = whole(name), tmp_path / name
        assert fitted.encoder_file == ("imgnet.keras" if name in TRAINED else "encoder.npz"), name
        folder.mkdir()
        fitted.save(folder / fitted.encoder_file)
        trunk = {"backbone": "compact", "image_size": 48, "train": False, "scaling": None}
        config = {"method": name, "bits": BITS, "seed": SEED, "trunk": trunk}
        (folder / "config.json").write_text(json.dumps(config))
    run_program(LOADED, tmp_path)
    for name in METHODS:
        expected = values(whole(name), features)
        assert len(np.unique(expected)) > 50, name
        with np.load(tmp_path / f"{name}.npz") as arrays:
            assert arrays["codes"].dtype == np.int8
            np.testing.assert_array_equal(arrays["codes"], whole(name).encode(features), err_msg=name)
            np.testing.assert_array_equal(arrays["outputs"], expected, err_msg=name)


def run_program(program: str, *arguments: object) -> None:
    """Runs Python text in a process of its own, in the project's folder."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# Replicas


@pytest.mark.slow
@pytest.mark.parametrize(("replicas", "name"), [*((2, name) for name in TRAINED), *((4, name) for name in FULL)])
def test_loss_trace_is_that_of_one_replica(whole, mirrored, name, replicas):
    several = mirrored(name, replicas)
    assert set(several.traces) == set(whole(name).traces)
    for term, trace in whole(name).traces.items():
        np.testing.assert_allclose(several.traces[term], trace, rtol=1e-4, err_msg=term)


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_two_workers(whole, mirrored, two_workers, name):
    """Two processes on loopback: equal to each other and to two replicas of one process, and at first to one replica."""
    first, second = two_workers(name)
    expected = arrays_of(mirrored(name, 2))
    assert set(first) == set(second) == set(expected)
    for key, array in expected.items():
        np.testing.assert_array_equal(first[key], second[key], err_msg=key)
        # A loss of SSAH's adversary may differ from that of two replicas in its last bit; its gradients do not.
        near = 3e-7 if name == "ssah" and key.startswith("trace ") else 0.0
        np.testing.assert_allclose(first[key], array, rtol=near, atol=0.0, err_msg=key)
    total = f"{next(iter(phases(whole(name))))}/total"
    found, alone = first[f"trace {total}"], whole(name).traces[total]
    np.testing.assert_allclose(found[:SAME_STEPS], alone[:SAME_STEPS], rtol=1e-6)


# Resumed runs


def test_restored_banks_are_on_every_replica(tf, monkeypatch):
    """A checkpoint holds the first replica's copy of a bank; `spread` gives the others its values."""
    from dseh_tf.devices.replicas import PerReplicaVariables, make_strategy
    from dseh_tf.devices.runtime import Runtime

    create, banks = PerReplicaVariables.__init__, []

    def noted(bank, *arguments, **options) -> None:
        create(bank, *arguments, **options)
        banks.append(bank)

    monkeypatch.setattr(PerReplicaVariables, "__init__", noted)
    runtime, found = Runtime(strategy=make_strategy("mirrored", 2), progress=False), set()
    for name in TRAINED:
        banks.clear()
        recipe = METHODS[name](BITS, SEED, **small_settings(name)).recipe(small_dataset(), runtime)
        kept = {id(variable) for variable in recipe.tracked.values()}
        restored = [bank for bank in banks if id(bank.primary) in kept and len(bank.copies) == 2]
        for number, bank in enumerate(restored):
            bank.primary.assign(tf.fill(bank.primary.shape, number + 7.0))
        recipe.spread()
        for bank in restored:
            np.testing.assert_array_equal(bank.copies[1], bank.primary, err_msg=name)
        found |= {name} if restored else set()
    assert {"cnnh", "dpsh", "dseh", "dseh_l"} <= found


def late_step(steps: int) -> int:
    """A step of a phase that is after its first checkpoint."""
    return int(0.7 * steps)


@pytest.mark.parametrize("name", TRAINED)
def test_interrupted_and_resumed(whole, name, tmp_path):
    """One run, interrupted in every phase in turn: late in a first round, before the phase's first checkpoint in a second.

    A session goes on where the newest checkpoint is, and does no work again that the checkpoint has.
    """
    from dseh_tf.devices.runtime import Runtime

    from .sessions import Interrupted, Session

    def interrupt() -> None:
        raise Interrupted

    runtime = Runtime(progress=False, checkpoints=tmp_path, checkpoint_steps=CHECKPOINT_STEPS)
    saved: dict[str, int] = {}

    def go_on(session: Session) -> None:
        assert not set(session.works) & set(saved), "done again"
        if saved:
            phase, first = session.blocks[0]
            assert first == saved.get(phase, 0)
        saved.update(session.saved)

    for phase, steps in phases(whole(name)).items():
        late = phase.endswith("/0") and steps >= LONG
        with Session((phase, late_step(steps) if late else 1), interrupt) as session, pytest.raises(Interrupted):
            fit(name, runtime)
        go_on(session)
        assert (0 < saved[phase] < steps) if late else not saved.get(phase)
    with Session() as session:
        resumed = fit(name, runtime)
    go_on(session)
    assert_same(resumed, whole(name))


# TensorFlow is imported once and forked before its first use: a kill costs a training, not a start as well.
KILLED = """
import json, os, signal, sys
from pathlib import Path
import numpy as np
import tensorflow as tf
from dseh_tf.devices.runtime import Runtime
from tests.methods.sessions import Session
from tests.methods.small import fit, small_dataset

room, steps = Path(sys.argv[1]), json.loads(sys.argv[2])

def train(name, at=None):
    tf.config.experimental.enable_op_determinism()
    runtime = Runtime(progress=False, checkpoints=room / name, checkpoint_steps=int(sys.argv[3]))
    with Session(at, lambda: os.kill(os.getpid(), signal.SIGKILL)) as session:
        return fit(name, runtime), session

def child(work):
    pid = os.fork()
    if not pid:
        work()
        os._exit(0)
    return os.waitpid(pid, 0)[1]

def resume():
    for name, at in steps.items():
        fitted, session = train(name)
        assert session.blocks[0][0] == at[0] and 0 < session.blocks[0][1] < at[1], (name, session.blocks[0])
        np.save(room / f"{name}.npy", fitted.encode(small_dataset().query))

for name, at in steps.items():
    status = child(lambda: train(name, at))
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (name, status)
assert child(resume) == 0
"""


@pytest.mark.slow
def test_killed_and_resumed_to_the_same_codes(whole, tmp_path):
    """Each method killed by SIGKILL late in its last phase, and resumed in another process."""
    ends = {name: list(phases(whole(name)).items())[-1] for name in FULL}
    steps = {name: (phase, late_step(count)) for name, (phase, count) in ends.items() if count >= LONG}
    run_program(KILLED, tmp_path, json.dumps(steps), CHECKPOINT_STEPS)
    query = small_dataset().query
    for name in steps:
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}.npy"), whole(name).encode(query), err_msg=name)
