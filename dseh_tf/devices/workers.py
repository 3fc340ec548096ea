"""Communication between the workers of a run outside of training steps. Does not import TensorFlow.

Worker 0, the chief, is connected to all others. Over these connections the workers agree on values, exchange the rows
that each has encoded or evaluated, and show that they are alive. If a worker ends or is silent for too long, the run
ends on all workers with a one-line error, because a collective operation of TensorFlow would wait for it forever.
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from dseh_tf.devices import frames
from dseh_tf.devices.cluster import Cluster
from dseh_tf.devices.meeting import meet
from dseh_tf.errors import InputError

TIMEOUT, SILENCE = 300.0, 60.0  # seconds
_PAUSE = 0.5


class Workers:
    """This process as one of the workers of a run. All workers must call the same methods in the same order.

    Attributes:
        cluster: Addresses, and the index of this process.
    """

    def __init__(
        self,
        cluster: Cluster,
        timeout: float = TIMEOUT,
        silence: float = SILENCE,
        lost: Callable[[str], object] = lambda line: None,
    ) -> None:
        """Waits for the other workers.

        Args:
            cluster: The workers of the run; of one worker, nothing is sent.
            timeout: Seconds to wait for workers that have not come yet.
            silence: Seconds without a sign of life after which a worker counts as lost.
            lost: Called once, in another thread, with the line to show, when a worker is lost or ends with an error.
                The main thread may be waiting in TensorFlow then, so that a program has to end in this call.

        Raises:
            InputError: As in `meet`.
        """
        self.cluster = cluster
        self._lost, self._silence = lost, silence
        self._line, self._stopped, self._closing = "", threading.Event(), threading.Event()
        self._told = threading.Lock()
        self._peers = meet(cluster, timeout)
        self._sending = {peer: threading.Lock() for peer in self._peers}
        self._received: dict[int, queue.SimpleQueue[tuple[str, bytes]]] = {p: queue.SimpleQueue() for p in self._peers}
        for peer, connection in self._peers.items():
            connection.settimeout(silence)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._read, args=(peer,), daemon=True, name=f"worker {peer}").start()
        if self._peers:
            threading.Thread(target=self._beat, daemon=True, name="sign of life").start()

    @property
    def index(self) -> int:
        return self.cluster.index

    @property
    def count(self) -> int:
        return len(self.cluster.addresses)

    @property
    def chief(self) -> bool:
        """Whether this process writes the run folder."""
        return self.index == 0

    # Together

    def gather(self, name: str, content: bytes) -> list[bytes]:
        """Collects a content from every worker, in worker order. Waits for all of them.

        Args:
            name: Name of the occasion; it has to be the same on all workers.
            content: Content of this worker.

        Raises:
            InputError: A worker was lost or ended with an error, or is at another occasion.
        """
        return self._exchange(frames.DATA, name, content)

    def agree(self, name: str, value: Any) -> list[Any]:
        """Like `gather`, for JSON values."""
        return [json.loads(content) for content in self.gather(name, json.dumps(value).encode())]

    def rows(self, name: str, part: np.ndarray) -> np.ndarray:
        """The rows of all workers, in worker order, bit for bit.

        Args:
            name: As in `gather`.
            part: [n of this worker, ...], of one dtype and width on all workers.

        Raises:
            InputError: As in `gather`, and where the workers have rows of different kinds.
        """
        if self.count == 1:
            return part
        kind = json.dumps([part.dtype.str, part.shape[1:]]).encode()
        sent = frames.joined([kind, str(len(part)).encode(), np.ascontiguousarray(part).tobytes()])
        parts = []
        for index, content in enumerate(self.gather(name, sent)):
            found, rows, values = frames.parted(content)
            if found != kind:
                raise InputError(
                    f"{self.cluster.name(index)}: {name}: found {found.decode()}, expected {kind.decode()} as worker {self.index}"
                )
            parts.append(np.frombuffer(values, part.dtype).reshape(int(rows), *part.shape[1:]))
        return np.concatenate(parts)

    def share(self, rows: int, unit: int = 1) -> slice:
        """This worker's contiguous part of some rows; all parts but the last are multiples of `unit`."""
        units = -(-rows // unit)
        first, last = (units * i // self.count * unit for i in (self.index, self.index + 1))
        return slice(min(first, rows), min(last, rows))

    def finish(self) -> None:
        """Waits until every worker has called this method. Afterwards no worker reports another one as lost."""
        if self._peers:
            self._exchange(frames.LAST, "the end", b"")

    def fail(self, line: str) -> None:
        """Ends the run on all other workers with this line, preceded by this worker's name, unless it has ended already."""
        if not self._stopped.is_set():
            self._tell(f"{self.cluster.name(self.index)}: {line}")

    def wait_for_loss(self) -> str:
        """Waits as long as it takes to find that a worker is lost, after TensorFlow has missed one.

        Returns:
            The line that `lost` gets; empty if all workers are there.
        """
        if self._peers:
            self._stopped.wait(self._silence + 2 * _PAUSE)
        return self._line

    # One connection each

    def _exchange(self, kind: int, name: str, content: bytes) -> list[bytes]:
        if not self._peers:
            return [content]
        if not self.chief:
            self._send(0, frames.DATA, name, content)
            return frames.parted(self._take(0, name))
        parts = [content, *(self._take(peer, name) for peer in sorted(self._peers))]
        if kind == frames.LAST:
            self._closing.set()
        for peer in self._peers:
            self._send(peer, kind, name, frames.joined(parts))
        return parts

    def _take(self, peer: int, name: str) -> bytes:
        while True:
            try:
                found, content = self._received[peer].get(timeout=_PAUSE)
                break
            except queue.Empty:
                if self._stopped.is_set():
                    raise InputError(self._line) from None
        if found != name:
            line = f"{self.cluster.name(peer)}: found it at {found!r}, expected {name!r} as worker {self.index}"
            self._tell(line)
            raise InputError(line)
        return content

    def _send(self, peer: int, kind: int, name: str = "", content: bytes = b"") -> None:
        try:
            with self._sending[peer]:
                frames.send(self._peers[peer], kind, name, content)
        except OSError as error:
            if not self._closing.is_set():
                self._missing(peer, error)

    def _read(self, peer: int) -> None:
        """Takes in what a worker sends, in a thread of its own."""
        try:
            while True:
                kind, name, content = frames.receive(self._peers[peer])
                if kind == frames.FAULT:
                    self._stop(content.decode(), without=peer)
                    return
                if kind == frames.LAST:
                    self._closing.set()
                if kind != frames.BEAT:
                    self._received[peer].put((name, content))
        except (OSError, EOFError, ValueError) as error:
            if not self._closing.is_set():
                with contextlib.suppress(InputError):
                    self._missing(peer, error)

    def _missing(self, peer: int, error: Exception) -> NoReturn:
        why = f"nothing came from it for {self._silence:g} s" if isinstance(error, TimeoutError) else "it has ended"
        line = f"{self.cluster.name(peer)} does not answer: {why}; start all workers again, and they resume"
        self._stop(line, without=peer)
        raise InputError(self._line)

    def _beat(self) -> None:
        while not self._stopped.wait(min(self._silence / 5, 5.0)):
            if self._closing.is_set():
                return
            for peer in self._peers:
                with contextlib.suppress(InputError):
                    self._send(peer, frames.BEAT)

    def _stop(self, line: str, without: int | None = None) -> None:
        """The run ends here, for a reason that others may not know yet."""
        with self._told:
            if self._stopped.is_set():
                return
            self._line = line
            self._tell(line, without)
        self._lost(line)

    def _tell(self, line: str, without: int | None = None) -> None:
        self._line = self._line or line
        self._stopped.set()
        for peer, connection in self._peers.items():
            if peer != without:
                connection.settimeout(_PAUSE)  # a worker that does not read must not hold up the end
                if self._sending[peer].acquire(timeout=_PAUSE):
                    with contextlib.suppress(OSError):
                        frames.send(connection, frames.FAULT, content=line.encode())
                    self._sending[peer].release()


ALONE = Workers(Cluster(("",), 0))
