"""The exception for input that a user can put right, checks of numbers, and the errors of a disk that are reported likewise."""

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


def brief(value: Any) -> str:
    """The `repr` of a value in one line of at most 60 characters, for messages."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def whole(value: Any, name: str, least: int | None = None, most: int | None = None) -> int:
    """The value as an int. Raises InputError, naming it, unless it is a whole number from `least` to `most`.

    Python's and numpy's integers are whole numbers; floats, strings and booleans are not.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise InputError(f"{name}: found {brief(value)}, expected a whole number")
    if (least is not None and number < least) or (most is not None and number > most):
        if most is not None:
            expected = f"{least} to {most}"
        else:
            expected = "a positive number" if least == 1 else f"at least {least}"
        raise InputError(f"{name}: found {number}, expected {expected}")
    return number


def positive(value: Any, name: str) -> int:
    """The value as an int. Raises InputError, naming it, unless it is a whole number of at least 1."""
    return whole(value, name, 1)


def refusal(error: OSError) -> str | None:
    """One line on a file or folder that cannot be used as asked; None for an error that is ours."""
    if error.errno not in _REFUSED or error.filename is None:
        return None
    return f"{error.filename2 or error.filename}: {_MISPLACED.get(error.errno, error.strerror)}"
