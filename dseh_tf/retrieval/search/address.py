"""Addresses of indexes in a PostgreSQL database: `postgresql://user:password@host:port/database?index=name`.

All parameters except `index` are passed to libpq, which also reads the environment (PGPASSWORD) and `~/.pgpass`.
Passwords are never shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from dseh_tf.errors import InputError, brief

SCHEMES = ("postgresql://", "postgres://")
EXPECTED = "postgresql://user@host:port/database?index=name"
DEFAULT = "dseh_tf"  # the index of an address that names none
_LONGEST = 63  # bytes: PostgreSQL cuts longer names without an error, and two of them could become one

# Stricter than libpq: with a character of a password in a wrong place, a part of it would be read as a host or a port.
_HOST = r"(?:[\w.%~-]+|\[[\da-fA-F:.%]+\])?(?::\d+)?"
_ADDRESS = re.compile(
    r"postgres(?:ql)?://(?:(?P<user>[^:@/?#\s]*)(?::(?P<password>[^@/?#\s]*))?@)?"
    rf"(?P<hosts>{_HOST}(?:,{_HOST})*)(?:/(?P<database>[^:@/?#\s]*))?(?:\?(?P<query>[^#?\s]*))?"
)


@dataclass(frozen=True)
class Address:
    """libpq: the address without `index`. index: the schema of the index. given: the options that the address has."""

    libpq: str = field(repr=False)
    index: str
    shown: str
    given: frozenset[str]
    secrets: tuple[str, ...] = field(repr=False)

    def __str__(self) -> str:
        return self.shown

    def without_secrets(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def is_address(path: Path | str) -> bool:
    return isinstance(path, str) and path.startswith(SCHEMES)


def shown(path: Path | str) -> str:
    """A path, or an address without its password, for messages and files."""
    return parse(path).shown if is_address(path) else str(path)


def parse(path: Path | str | None) -> Address:
    """Raises InputError, which repeats no part of the address, if it cannot be read."""
    if path is None or not is_address(path):
        raise InputError(f"path: found {brief(None if path is None else str(path))}, expected {EXPECTED}")
    match = _ADDRESS.fullmatch(str(path))
    options = [item.partition("=") for item in ("" if match is None else match["query"] or "").split("&") if item]
    if match is None or any(not equals or not re.fullmatch("[a-z_]+", name) for name, equals, _ in options):
        raise InputError(
            f"path: found an address that cannot be read, expected {EXPECTED} (@ in a password is %40, / is %2F)"
        )
    values = {name: unquote(value) for name, _, value in options}
    index = values.pop("index", DEFAULT)
    if not 1 <= len(index.encode(errors="replace")) <= _LONGEST or not index.isprintable():
        raise InputError(f"path: found the index {brief(index)}, expected a name of 1 to {_LONGEST} bytes")
    base, rest = str(path).partition("?")[0], [f"{name}={value}" for name, _, value in options if name != "index"]
    user = f"{match['user']}@" if match["user"] else ""
    asked = f"postgresql://{user}{match['hosts'] or ''}/{match['database'] or ''}?index={index}"
    hidden = [match["password"] or "", *(value for name, _, value in options if "password" in name)]
    secrets = {text for secret in hidden for text in (secret, unquote(secret)) if text}
    libpq = base + ("?" + "&".join(rest) if rest else "")
    return Address(libpq, index, asked, frozenset(values), tuple(sorted(secrets, key=len, reverse=True)))
