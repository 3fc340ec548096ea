"""Fits that the tests of methods share."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from tests import pairs


@pytest.fixture(scope="session")
def whole(tf):
    """whole(name): one undisturbed small fit of a registered method."""
    from .small import fit

    return cache(fit)


@pytest.fixture(scope="session")
def mirrored(tf):
    """mirrored(name, replicas): the same fit on several replicas, 16 rows a forward pass on each."""
    from dseh_tf.devices.replicas import make_strategy
    from dseh_tf.devices.runtime import Runtime

    from .small import fit

    def several(name, replicas):
        strategy = make_strategy("mirrored", replicas)
        return fit(name, Runtime(strategy=strategy, progress=False, encode_batch=16 * replicas))

    return cache(several)


@pytest.fixture(scope="session")
def two_workers(tmp_path_factory):
    """two_workers(name): the same fit by two processes, 16 rows a forward pass; what each of them found, by name."""
    from .test_battery import FULL

    room, workers = tmp_path_factory.mktemp("two_workers"), pairs.addresses()
    started = [pairs.start(workers, i, "-m", "tests.methods.two_workers", room, *FULL) for i in (0, 1)]
    for status, _, errors in pairs.ends(started, timeout=600):
        assert status == 0, errors

    def arrays(name, index):
        with np.load(room / f"{name}-{index}.npz") as stored:
            return dict(stored)

    return lambda name: [arrays(name, index) for index in (0, 1)]
