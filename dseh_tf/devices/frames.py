"""Messages between the workers of a run, over one TCP connection. Does not import TensorFlow, and unpickles nothing."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

BEAT, DATA, LAST, FAULT = range(4)  # a sign of life; a message; a message that is the last one; why the run ends
_HEADER = struct.Struct("!BHQ")  # kind, bytes of the name, bytes of the content
_LENGTH = struct.Struct("!Q")
MOST_TEXT = 2**16


def send(connection: socket.socket, kind: int, name: str = "", content: bytes = b"") -> None:
    """Sends one frame. Raises OSError if the other side has closed the connection or does not read."""
    label = name.encode()
    connection.sendall(_HEADER.pack(kind, len(label), len(content)) + label)
    if content:
        connection.sendall(content)


def receive(connection: socket.socket, most: int | None = None) -> tuple[int, str, bytes]:
    """Waits for the next frame: kind, name, content.

    Args:
        connection: A socket; its timeout limits the time without data.
        most: Maximum size of the content in bytes; None for no limit.

    Raises:
        EOFError: The other side has closed the connection.
        TimeoutError: Nothing came.
        ValueError: Something else than a frame came.
        OSError: The connection broke.
    """
    kind, label, size = _HEADER.unpack(_exactly(connection, _HEADER.size))
    if kind > FAULT or (most is not None and size + label > most):
        raise ValueError("not a frame")
    return kind, _exactly(connection, label).decode(), _exactly(connection, size)


def _exactly(connection: socket.socket, size: int) -> bytes:
    content = bytearray(size)
    view, done = memoryview(content), 0
    while done < size:
        count = connection.recv_into(view[done:])
        if not count:
            raise EOFError
        done += count
    return bytes(content)


def joined(parts: Sequence[bytes]) -> bytes:
    """Joins several contents into one."""
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts)


def parted(content: bytes) -> list[bytes]:
    """Splits a content into the parts that `joined` was given."""
    parts, start = [], 0
    while start < len(content):
        (size,) = _LENGTH.unpack_from(content, start)
        start += _LENGTH.size
        parts.append(content[start : start + size])
        start += size
    return parts
