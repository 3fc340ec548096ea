"""Shared by all tests: four logical CPU devices (before TensorFlow is used), and small data."""

from __future__ import annotations

import fcntl
import importlib.util
import itertools
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory) -> Path:
    """A data folder that holds multi_digits, made once, also where pytest-xdist runs several workers."""
    from dseh_tf.data import catalog

    root = tmp_path_factory.getbasetemp()
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "digits"
    folder.mkdir(exist_ok=True)

    def no_network(*_, **__):
        raise AssertionError("the embedded data set asked for the network")

    with (folder / "lock").open("w") as lock, pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", no_network)
        patch.setattr(socket.socket, "connect", no_network)
        fcntl.flock(lock, fcntl.LOCK_EX)
        catalog.load("multi_digits", catalog.DataOptions(data_dir=folder))
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A PostgreSQL server with pgvector."""
    from tests.postgres import PACKAGE, Server

    for package in ("psycopg", PACKAGE):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"no {package}")
    server = Server()
    yield server
    server.close()


_numbers = itertools.count()


@pytest.fixture
def place(request, tmp_path) -> Callable[[str, str], Any]:
    """Where an index of an engine can be: a file, or the address of a database."""
    number = next(_numbers)  # schemas stay from test to test; their names need quotes

    def of(engine: str, name: str) -> Any:
        if engine != "pgvector":
            return tmp_path / name
        return request.getfixturevalue("postgres").address(f'{number} "{name}"; é')

    return of
