"""Opening files for readers: expands `~`, reads only regular files, and skips names that systems leave behind."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dseh_tf.errors import InputError
from dseh_tf.files import check_regular, irregular

# Written into folders by macOS, Windows, and NAS systems (thumbnails, bins); lower case.
_SYSTEM_NAMES = frozenset(
    (
        "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information",
        "@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "lost+found",
    )
)  # fmt: skip


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with a leading `~` or `~user` replaced by the home folder; unchanged if there is no such user.

    Raises InputError on anything that is not a path.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
    except TypeError:
        raise InputError(f"path: found {path!r}, expected text or a pathlib.Path") from None


def hidden(name: str) -> bool:
    """Whether a file or folder of this name is never data.

    True for names that begin with a dot (.DS_Store, ._photo.jpg, .ipynb_checkpoints), for `__MACOSX`, and for what
    Windows and NAS systems write (Thumbs.db, desktop.ini, @eaDir, #recycle and the like).
    """
    return name.startswith(".") or name.casefold() in _SYSTEM_NAMES


def is_there(path: Path) -> bool:
    """Whether anything has this path, also a link to nothing.

    False for a path that no file can have, where `Path.exists` raises OSError (a name that is too long).
    """
    try:
        path.lstat()
    except (OSError, ValueError):
        return False
    return True


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder or a link to one; False for a path that no folder can have."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def is_regular(path: Path) -> bool:
    """Whether `path` is a regular file or a link to one; False for a path that no file can have."""
    try:
        return irregular(path) is None
    except (OSError, ValueError):
        return False


def check_utf8(path: Path, root: Path | None = None) -> None:
    """Raises InputError on a path that has bytes other than UTF-8, below `root` if given: no page or picture can show it."""
    try:
        str(path if root is None else path.relative_to(root)).encode()
    except UnicodeEncodeError:
        raise InputError(f"{str(path)!a}: found a name that is not UTF-8, expected one in UTF-8") from None


def read_bytes(file: Path, expected: str = "a regular file") -> bytes:
    """The content of a regular file. Raises InputError like `check_regular`, and where reading fails."""
    check_regular(file, expected)
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({_reason(error)}), expected {expected}") from None


@dataclass
class Listing:
    """What `list_below` found.

    Attributes:
        files: those wanted, sorted.
        others: the number of files that were not wanted, by their suffix in lower case ("" for none).
        hidden: the number of files and folders with a hidden name.
        links: the number of links to folders; they are not followed.
    """

    files: list[Path] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    links: int = 0

    def passed_over(self) -> str:
        """What was skipped, for a message: `3 other files (.txt 2, .db 1), 1 hidden name`; empty for nothing."""
        parts = []
        if self.others:
            kinds = ", ".join(f"{suffix or 'no suffix'} {count:,}" for suffix, count in self.others.most_common(8))
            parts.append(f"{_count(self.others.total(), 'other file')} ({kinds})")
        if self.hidden:
            parts.append(_count(self.hidden, "hidden name"))
        if self.links:
            parts.append(_count(self.links, "link") + " to folders")
        return ", ".join(parts)

    def add(self, other: Listing) -> None:
        self.files += other.files
        self.others += other.others
        self.hidden += other.hidden
        self.links += other.links


def entries(folder: Path) -> list[Path]:
    """What is in the folder, sorted. Raises InputError if it cannot be listed."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed ({_reason(error)}), expected a folder") from None


def list_below(folder: Path, wanted: Callable[[str], bool]) -> Listing:
    """The files below `folder` whose names are `wanted`, at every depth, without those of hidden names.

    Whether such a file is a regular one is seen when it is read. Raises InputError on a folder that cannot be listed.
    """

    def refused(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be listed ({_reason(error)}), expected a folder")

    found = Listing()
    for place, folders, names in os.walk(folder, onerror=refused):
        here = Path(place)
        seen = [name for name in folders if not hidden(name)]
        found.hidden += len(folders) - len(seen)
        links = {name for name in seen if (here / name).is_symlink()}
        found.links += len(links)
        folders[:] = [name for name in seen if name not in links]
        for name in names:
            if hidden(name):
                found.hidden += 1
            elif wanted(name):
                found.files.append(here / name)
            else:
                found.others[Path(name).suffix.lower()] += 1
    found.files.sort()
    return found


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or next(iter(str(error).splitlines()), type(error).__name__)
