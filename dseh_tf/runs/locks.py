"""A lock on an open file, held until the file is closed: `flock` on POSIX, `msvcrt.locking` on Windows."""

from __future__ import annotations

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

# A folder cannot be opened on Windows: there, a file in it is locked.
LOCKS_FOLDERS = fcntl is not None


def lock(file: int) -> None:
    """Takes the lock, which ends when the file is closed or the process ends.

    On POSIX, a child that inherits the file holds the lock too. On Windows it does not.

    Args:
        file: Descriptor of an open file; on POSIX also of a folder.

    Raises:
        BlockingIOError: Another process has the lock.
        OSError: The file system has no locks.
    """
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    try:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # the first byte, which need not exist
    except PermissionError as error:  # how Windows says that another process has it
        raise BlockingIOError(*error.args) from None
