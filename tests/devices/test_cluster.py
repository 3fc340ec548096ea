"""TF_CONFIG: what is read from it, and one line for each way in which it can be wrong."""

from __future__ import annotations

import json

import pytest

from dseh_tf.devices.cluster import Cluster, host_and_port, read_cluster
from dseh_tf.errors import InputError

TWO = {"worker": ["a:1", "b:2"]}


def cluster(value) -> Cluster:
    return read_cluster({"TF_CONFIG": value if isinstance(value, str) else json.dumps(value)})


def test_workers():
    found = cluster({"cluster": TWO, "task": {"type": "worker", "index": 1}})
    assert found == Cluster(("a:1", "b:2"), 1)
    assert found.name(1) == "worker 1 (b:2)"
    assert cluster(found.text()) == found


@pytest.mark.parametrize(("task", "index"), [({"type": "chief", "index": 0}, 0), ({"type": "worker", "index": 1}, 2)])
def test_a_chief_is_worker_0(task, index):
    """TensorFlow counts the chief first, then the workers."""
    found = cluster({"cluster": {"chief": ["c:9"], **TWO}, "task": task})
    assert found == Cluster(("c:9", "a:1", "b:2"), index)
    assert json.loads(found.text())["task"] == {"type": "worker", "index": index}


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("", "TF_CONFIG: found none, expected {"),
        ("{worker", "TF_CONFIG: found '{worker', expected JSON ("),
        ([], "TF_CONFIG: found [], expected an object"),
        ({"cluster": TWO}, "TF_CONFIG: task: found none, expected an object"),
        ({"task": {"type": "worker", "index": 0}}, "TF_CONFIG: cluster: found none, expected an object"),
        ({"cluster": {}, "task": {}}, "TF_CONFIG: cluster: found [], expected worker, or chief and worker"),
        ({"cluster": {**TWO, "ps": ["p:1"]}, "task": {}}, "TF_CONFIG: cluster: found ['ps', 'worker'], expected worker,"),
        ({"cluster": {"worker": "a:1"}, "task": {}}, "TF_CONFIG: cluster: worker: found 'a:1', expected a list of addresses"),
        ({"cluster": {"worker": ["a"]}, "task": {}}, "TF_CONFIG: cluster: worker: found 'a', expected an address host:port"),
        ({"cluster": {"worker": ["a:0"]}, "task": {}}, "TF_CONFIG: cluster: worker: found 'a:0', expected an address"),
        ({"cluster": {"worker": [7]}, "task": {}}, "TF_CONFIG: cluster: worker: found 7, expected an address host:port"),
        ({"cluster": {"worker": ["a:1", "a:1"]}, "task": {}}, "TF_CONFIG: cluster: found a:1 twice, expected a separate address"),
        ({"cluster": {"chief": ["a:1", "b:1"]}, "task": {}}, "TF_CONFIG: cluster: chief: found 2 addresses, expected one"),
        ({"cluster": TWO, "task": {"index": 0}}, "TF_CONFIG: task: type: found None, expected worker"),
        ({"cluster": TWO, "task": {"type": "chief", "index": 0}}, "TF_CONFIG: task: type: found 'chief', expected worker"),
        ({"cluster": TWO, "task": {"type": "worker"}}, "TF_CONFIG: task: index: found None, expected 0 to 1"),
        ({"cluster": TWO, "task": {"type": "worker", "index": 2}}, "TF_CONFIG: task: index: found 2, expected 0 to 1"),
        ({"cluster": TWO, "task": {"type": "worker", "index": -1}}, "TF_CONFIG: task: index: found -1, expected 0 to 1"),
        ({"cluster": TWO, "task": {"type": "worker", "index": True}}, "TF_CONFIG: task: index: found True, expected 0 to 1"),
    ],
)  # fmt: skip
def test_one_line(value, line):
    with pytest.raises(InputError) as error:
        cluster(value)
    assert str(error.value).startswith(line) and "\n" not in str(error.value)


@pytest.mark.parametrize(("address", "parts"), [("node-1:2222", ("node-1", 2222)), ("[::1]:80", ("::1", 80))])
def test_host_and_port(address, parts):
    assert host_and_port(address) == parts
