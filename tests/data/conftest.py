"""The embedded data set and the miniatures, each made once, and a network that is not there."""

from __future__ import annotations

import socket

import pytest

from dseh_tf.data import DataOptions, load
from tests.data import miniatures


def block_network(patch: pytest.MonkeyPatch) -> list[str]:
    """Every connection fails at once; TFDS alone would try again for minutes. The list grows with each attempt."""
    import requests

    attempts: list[str] = []

    def refused(*_, **__):
        attempts.append("a connection")
        raise requests.ConnectionError("no network in this test")

    patch.setattr(socket, "getaddrinfo", refused)
    patch.setattr(socket.socket, "connect", refused)
    patch.setattr(requests.adapters.HTTPAdapter, "send", refused)
    return attempts


@pytest.fixture
def no_network(monkeypatch):
    block_network(monkeypatch)


@pytest.fixture(scope="session")
def embedded_dir(tmp_path_factory):
    """A data_dir where multi_digits was built from nothing, without a network."""
    folder = tmp_path_factory.mktemp("embedded")
    with pytest.MonkeyPatch.context() as patch:
        attempts = block_network(patch)
        load("multi_digits", DataOptions(data_dir=folder, labels_only=True))
    assert not attempts
    return folder


@pytest.fixture(scope="session")
def miniatures_dir(tmp_path_factory):
    """A data_dir with a miniature of every data set that needs files."""
    return miniatures.write_all(tmp_path_factory.mktemp("miniatures"))
