"""The processes of a run on several machines, as given by the environment variable TF_CONFIG. Does not import
TensorFlow."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dseh_tf.errors import InputError, brief

VARIABLE = "TF_CONFIG"
_EXAMPLE = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class Cluster:
    """The workers of a run and this process's place among them.

    Attributes:
        addresses: host:port of every worker. Worker 0 is the chief.
        index: Index of this process.
    """

    addresses: tuple[str, ...]
    index: int

    def name(self, index: int) -> str:
        """The name of a worker in messages."""
        return f"worker {index} ({self.addresses[index]})"

    def text(self) -> str:
        """The TF_CONFIG of this process, with workers only."""
        return json.dumps(
            {"cluster": {"worker": list(self.addresses)}, "task": {"type": "worker", "index": self.index}}
        )


def read_cluster(environment: Mapping[str, str] | None = None) -> Cluster:
    """The cluster that TF_CONFIG describes.

    A "chief" in it becomes worker 0, and the numbers of the other workers rise by one, as in TensorFlow.

    Args:
        environment: The mapping that contains the variable; None for the process's environment.

    Raises:
        InputError: The variable is missing, is not JSON, names no task, an index out of range, an address that is not
            host:port or that two workers have, or jobs other than chief and worker.
    """
    text = (os.environ if environment is None else environment).get(VARIABLE, "")
    if not text.strip():
        raise InputError(f"{VARIABLE}: found none, expected {_EXAMPLE} in the environment of every worker")
    try:
        config = json.loads(text)
    except ValueError as error:
        raise InputError(f"{VARIABLE}: found {brief(text)}, expected JSON ({error})") from None
    jobs = _object(_object(config, VARIABLE).get("cluster"), f"{VARIABLE}: cluster")
    task = _object(config.get("task"), f"{VARIABLE}: task")
    if not jobs or set(jobs) - {"worker", "chief"}:
        raise InputError(f"{VARIABLE}: cluster: found {brief(sorted(jobs))}, expected worker, or chief and worker")
    chief, workers = (_addresses(jobs.get(job, []), job) for job in ("chief", "worker"))
    if len(chief) > 1:
        raise InputError(f"{VARIABLE}: cluster: chief: found {len(chief)} addresses, expected one")
    addresses = chief + workers
    for address in addresses:
        if addresses.count(address) > 1:
            raise InputError(f"{VARIABLE}: cluster: found {address} twice, expected a separate address for each worker")
    kind, index = task.get("type"), task.get("index")
    known = {"worker": len(workers), "chief": len(chief)}
    if not isinstance(kind, str) or not known.get(kind):
        expected = " or ".join(job for job, count in known.items() if count)
        raise InputError(f"{VARIABLE}: task: type: found {brief(kind)}, expected {expected}")
    if type(index) is not int or not 0 <= index < known[kind]:
        raise InputError(f"{VARIABLE}: task: index: found {brief(index)}, expected 0 to {known[kind] - 1}")
    return Cluster(addresses, index + (len(chief) if kind == "worker" else 0))


def host_and_port(address: str) -> tuple[str, int]:
    """Splits host:port; the brackets of an IPv6 address are removed."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        found = "none" if value is None else brief(value)
        raise InputError(f"{where}: found {found}, expected an object as in {_EXAMPLE}")
    return value


def _addresses(values: Any, job: str) -> tuple[str, ...]:
    where = f"{VARIABLE}: cluster: {job}"
    if not isinstance(values, list):
        raise InputError(f"{where}: found {brief(values)}, expected a list of addresses host:port")
    for value in values:
        host, colon, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
        if not (colon and host.strip() and port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
            raise InputError(f"{where}: found {brief(value)}, expected an address host:port")
    return tuple(values)
