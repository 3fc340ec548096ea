"""Shared by all tests: four logical CPU devices (before TensorFlow is used), and small data."""

from __future__ import annotations

import os

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Makes the logical devices before any test uses TensorFlow; a run of tests without `tf` does not import it."""
    if any("tf" in getattr(item, "fixturenames", ()) for item in session.items):
        from dseh_tf.devices.replicas import logical_cpus

        logical_cpus(4)


@pytest.fixture(scope="session")
def tf():
    """TensorFlow with four logical CPU devices."""
    import tensorflow

    return tensorflow


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
