"""How the workers of a run find each other before TensorFlow starts. Does not import TensorFlow.

If a worker is missing, TensorFlow waits for it indefinitely, without a message and without letting other Python threads
or signal handlers run. The workers therefore connect first, over their own connections to worker 0. They use its port
in TF_CONFIG, which TensorFlow's server takes over afterwards; the connections stay open.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Mapping

from dseh_tf.devices import frames
from dseh_tf.devices.cluster import Cluster, host_and_port
from dseh_tf.errors import InputError

_HELLO, _GO, _PAUSE = "dseh_tf workers 1", "go", 0.2
_TAKEN = 5.0  # seconds in which an earlier process may still give its port back
_MARGIN = 10.0  # seconds that the others wait longer than worker 0, which knows who is missing


def meet(cluster: Cluster, timeout: float) -> dict[int, socket.socket]:
    """Waits until every worker is there.

    Args:
        cluster: The workers.
        timeout: Seconds to wait.

    Returns:
        Connections by worker: from worker 0 to all others, and from the others to worker 0.

    Raises:
        InputError: Workers did not connect in time (they are named), have a different TF_CONFIG, or a port is in use.
    """
    if len(cluster.addresses) == 1:
        return {}
    server = _listen(cluster)
    if cluster.index:
        server.close()  # only to find out whether the port is free
        return {0: _join(cluster, timeout)}
    with server:
        return _welcome(server, cluster, timeout)


def _listen(cluster: Cluster) -> socket.socket:
    address = cluster.addresses[cluster.index]
    _, port = host_and_port(address)
    deadline = time.monotonic() + _TAKEN
    while True:
        try:
            if socket.has_dualstack_ipv6():
                with contextlib.suppress(OSError):  # a machine without IPv6, or the same error comes below
                    return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
            return socket.create_server(("", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                why = os.strerror(error.errno) if error.errno else str(error)
                raise InputError(
                    f"TF_CONFIG: {cluster.name(cluster.index)}: port {port}: found {why}, expected a free port of this machine"
                ) from None
            time.sleep(_PAUSE)


def _welcome(server: socket.socket, cluster: Cluster, timeout: float) -> dict[int, socket.socket]:
    deadline, found = time.monotonic() + timeout, dict[int, socket.socket]()
    server.settimeout(_PAUSE)
    while len(found) + 1 < len(cluster.addresses):
        if time.monotonic() >= deadline:
            missing = [cluster.name(i) for i in range(1, len(cluster.addresses)) if i not in found]
            raise _told(found, f"{', '.join(missing)} did not connect within {timeout:g} s (--worker_timeout)")
        try:
            connection, _ = server.accept()
        except TimeoutError:
            continue
        connection.settimeout(5.0)
        try:
            _, name, content = frames.receive(connection, frames.MOST_TEXT)
            hello = json.loads(content) if name == _HELLO else None
        except (OSError, EOFError, ValueError):
            hello = None
        if not isinstance(hello, Mapping):  # not one of ours
            connection.close()
            continue
        index, addresses = hello.get("index"), hello.get("addresses")
        if addresses != list(cluster.addresses) or type(index) is not int or not 0 < index < len(cluster.addresses):
            line = f"TF_CONFIG: worker {index}: found the workers {addresses}, expected {list(cluster.addresses)} as worker 0"
            raise _told({**found, -1: connection}, line)
        if index in found and not _has_gone(found[index]):
            line = f"TF_CONFIG: task: index: found two processes with {index}, expected another in each"
            raise _told({**found, -1: connection}, line)
        found[index] = connection
        # One that has ended while the others came may be on its way again.
        found = {index: connection for index, connection in found.items() if not _has_gone(connection)}
    for index, connection in found.items():
        try:
            frames.send(connection, frames.DATA, _GO)
        except OSError:
            raise _told(found, f"{cluster.name(index)} does not answer: it ended before all workers had come") from None
    return found


def _has_gone(connection: socket.socket) -> bool:
    """Whether the other side has closed the connection; it sends nothing at this time."""
    connection.setblocking(False)
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(5.0)


def _told(connections: Mapping[int, socket.socket], line: str) -> InputError:
    """An error that is also sent to the workers that have connected."""
    for connection in connections.values():
        with contextlib.suppress(OSError):
            frames.send(connection, frames.FAULT, content=line.encode())
        connection.close()
    return InputError(line)


def _join(cluster: Cluster, timeout: float) -> socket.socket:
    host, port = host_and_port(cluster.addresses[0])
    deadline, why = time.monotonic() + timeout, ""
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise InputError(f"{cluster.name(0)} did not connect within {timeout:g} s (--worker_timeout; {why})")
        try:
            connection = socket.create_connection((host, port), timeout=min(5.0, left))
        except OSError as error:
            why = error.strerror or str(error)
            time.sleep(_PAUSE)
            continue
        connection.settimeout(timeout + _MARGIN)
        hello = {"addresses": cluster.addresses, "index": cluster.index}
        try:
            frames.send(connection, frames.DATA, _HELLO, json.dumps(hello).encode())
            kind, name, content = frames.receive(connection, frames.MOST_TEXT)
        except (OSError, EOFError, ValueError) as error:
            connection.close()
            # The server of an earlier run may still have the port; of ours, worker 0 says why it ends.
            why = "it closed the connection" if isinstance(error, EOFError) else str(error)
            time.sleep(_PAUSE)
            continue
        if kind == frames.FAULT:
            connection.close()
            raise InputError(content.decode())
        if kind == frames.DATA and name == _GO:
            return connection
        connection.close()
        why = "its port is in use by another program"
        time.sleep(_PAUSE)
