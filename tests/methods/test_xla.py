"""Training steps compiled with XLA, with deterministic operations: every method, beside its plain steps."""

from __future__ import annotations

import numpy as np
import pytest

from dseh_tf.methods import METHODS

from .small import fit
from .test_battery import FULL
from .test_bfloat16 import squares

pytestmark = pytest.mark.usefixtures("tf")

# Masks of dropout are other ones under XLA.
SHORT = {"dropout": 0.0, "epochs": 1, "rounds": 1, "labnet_epochs": 1, "imgnet_epochs": 1, "labnet_steps": 3}


@pytest.fixture
def deterministic(tf):
    tf.config.experimental.enable_op_determinism()


def short(name: str) -> dict[str, object]:
    from dataclasses import fields

    kind = METHODS[name]
    known = {field.name for field in fields(kind.Settings)} | set(kind.OPTIONS)
    return {key: value for key, value in SHORT.items() if key in known}


@pytest.mark.parametrize("name", FULL)
def test_compiled_steps_have_the_same_losses(deterministic, name):
    from dseh_tf.devices.runtime import Runtime

    compiled, plain = (
        fit(name, Runtime(progress=False, jit_compile=jit), **short(name)).traces for jit in (True, False)
    )
    assert set(compiled) == set(plain)
    for term, trace in plain.items():
        assert len(trace) >= 2
        np.testing.assert_allclose(compiled[term], trace, rtol=1e-3, atol=1e-5, err_msg=term)


def test_compiled_steps_on_images(deterministic):
    """Max-pooling, whose own gradient XLA cannot compile with deterministic operations."""
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods.image_encoder import Trunk

    trunk = Trunk("compact", 16, mirror=False)
    compiled, plain = (
        METHODS["dpsh"](8, seed=1, trunk=trunk, epochs=1, dropout=0.0)
        .fit(squares(), Runtime(progress=False, jit_compile=jit))
        .traces["dpsh/0/total"]
        for jit in (True, False)
    )
    np.testing.assert_allclose(compiled, plain, rtol=1e-3)
