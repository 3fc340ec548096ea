"""The one exception for input that a user can put right, a check, and what of the disk's refusals is told in the same way."""

import errno
import operator
from typing import Any

# What a disk or a path refuses, and no program of ours can mend.
_REFUSED = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST,
)  # fmt: skip

_MISPLACED = {
    errno.EEXIST: "found a file in its place, expected a folder",
    errno.ENOTDIR: "found a file among the folders above it, expected folders",
    errno.EISDIR: "found a folder in its place, expected a file",
}


class InputError(ValueError):
    """Bad input, told in one line: which file, which field, what was found, what was expected.

    Programs in `experiments/` and `figures/` print the line to standard error and exit with a non-zero code.
    """


def positive(value: Any, name: str) -> int:
    """The value as an int. Raises InputError, naming it, unless it is a whole number (Python's or numpy's) of at least 1."""
    try:
        number = operator.index(value)
    except TypeError:
        raise InputError(f"{name}: found {value!r}, expected a whole number") from None
    if number < 1:
        raise InputError(f"{name}: found {number}, expected a positive number")
    return number


def refusal(error: OSError) -> str | None:
    """One line on a file or folder that cannot be used as asked; None for an error that is ours."""
    if error.errno not in _REFUSED or error.filename is None:
        return None
    return f"{error.filename2 or error.filename}: {_MISPLACED.get(error.errno, error.strerror)}"
