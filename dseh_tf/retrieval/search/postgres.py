"""A PostgreSQL connection that reconnects after the server was away, and whose errors are one line without the
password."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from dseh_tf.errors import InputError
from dseh_tf.files.read import reason
from dseh_tf.retrieval.search import address

# It warns of what fails after an error, which is raised anyway.
logging.getLogger("psycopg").setLevel(logging.ERROR)

# Where the address says nothing else: a server that does not answer, or a network that swallows packets, ends in an error.
_DEFAULTS: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
    "application_name": "dseh_tf",
    "client_encoding": "utf8",  # that of the database could be one that cannot say what texts mean
}


class Database:
    """One connection. Threads take turns.

    Args:
        path: The address; see `dseh_tf.retrieval.search.address`.
        read_only: Whether changes are refused, by the server.

    Raises:
        InputError: The address cannot be read, or no connection is made.
    """

    def __init__(self, path: Path | str | None, read_only: bool = False) -> None:
        self.address = address.parse(path)
        self._read_only = read_only
        self._lock = threading.RLock()
        with self._naming():
            self._connection = self._connected()

    def _connected(self) -> Any:
        options = {name: value for name, value in _DEFAULTS.items() if name not in self.address.given}
        connection = psycopg.connect(self.address.libpq, autocommit=True, **options)
        connection.prepare_threshold = None  # a pooler between us and the server may not keep prepared statements
        return connection

    @contextmanager
    def transaction(self, change: bool = False) -> Iterator[Any]:
        """A cursor. Makes all changes of the block, or none. Without changes, all statements see one state of the database.

        A connection that was lost before is made again. One that is lost in the block raises InputError.
        """
        with self._lock, self._naming(), ExitStack() as stack:
            if self._connection.closed:
                self._connection = self._connected()
            if self._connection.info.transaction_status == TransactionStatus.IDLE:
                self._begin(stack, change)
            else:  # a block in a block
                stack.enter_context(self._connection.transaction())
            yield stack.enter_context(self._connection.cursor())

    def _begin(self, stack: ExitStack, change: bool) -> None:
        try:
            stack.enter_context(self._set(change).transaction())
        except psycopg.OperationalError:
            if not self._connection.closed:
                raise
            self._connection = self._connected()  # the server was started again since the last transaction
            stack.enter_context(self._set(change).transaction())

    def _set(self, change: bool) -> Any:
        levels = psycopg.IsolationLevel
        self._connection.isolation_level = levels.READ_COMMITTED if change else levels.REPEATABLE_READ
        self._connection.read_only = self._read_only or None
        return self._connection

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Turns psycopg's errors into one line with the address, without its password."""
        try:
            yield
        except UnicodeEncodeError as error:  # half of a surrogate pair; a text of an index cannot have it
            raise InputError(
                f"{self.address}: found the character {error.object[error.start]!a}, expected valid text"
            ) from None
        except psycopg.Error as error:
            why = self.address.without_secrets(reason(error))
            if (held := getattr(self, "_connection", None)) is not None and held.closed:
                why = f"the connection was lost: {why}"
            raise InputError(
                f"{self.address}: cannot be used ({why}), expected a PostgreSQL database with this index"
            ) from None
