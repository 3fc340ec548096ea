"""The exception for bad input, checks of numbers, and one-line messages for errors of the file system."""

import errno
import operator
import os
import re
from typing import Any

# Errors of the file system that the user must resolve.
_REFUSED = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST,
    errno.EFBIG, errno.EIO, errno.ENAMETOOLONG, errno.ELOOP,
)  # fmt: skip
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)  # whatever was being written

_MISPLACED = {
    errno.EEXIST: "found a file in its place, expected a folder",
    errno.ENOTDIR: "found a file among the folders above it, expected folders",
    errno.EISDIR: "found a folder in its place, expected a file",
}

# TensorFlow's errors hold no number: "{{function_node ...}} FILE; No space left on device [Op:SaveV2]".
_TENSORFLOW = re.compile(rf"(?:^|}} )([^;}}]+); ({'|'.join(re.escape(os.strerror(n)) for n in _REFUSED)})")
_NUMBERS = {os.strerror(n): n for n in _REFUSED}
# numpy.save and TensorFlow Datasets raise an OSError without a number on a full disk.
_FULL = re.compile(r"\d+ requested and \d+ written|Not enough disk space")


class InputError(ValueError):
    """Bad input, described in one line: which file, which field, what was found, what was expected.

    Programs in `experiments/` and `figures/` print the line to standard error and exit with a non-zero code.
    """


def brief(value: Any) -> str:
    """The `repr` of a value in one line of at most 60 characters, for messages."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def whole(value: Any, name: str, least: int | None = None, most: int | None = None) -> int:
    """The value as an int. Raises InputError, naming it, unless it is a whole number from `least` to `most`.

    Python's and numpy's integers are accepted; floats, strings and booleans are not.
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


def disk_errno(error: BaseException) -> int | None:
    """The errno of a file-system error; None for any other error.

    Also recognises errors of TensorFlow, errors that `error` was raised from, and errors that libraries raise without
    an errno.
    """
    return _refused(error)[0]


def refusal(error: BaseException) -> str | None:
    """One line about a file or folder that cannot be used; None if the error is not one of the file system."""
    number, path = _refused(error)
    if number is None:
        return None
    told = _MISPLACED.get(number, os.strerror(number))
    return f"{path}: {told}" if path else f"{told}, while a file was written"


def _refused(error: BaseException | None) -> tuple[int | None, str]:
    """(errno, file or folder) of an error, or of one that it was raised from or hid; (None, "") for other errors."""
    while error is not None:
        if isinstance(error, OSError):
            path = error.filename2 or error.filename or ""
            if error.errno in _OF_THE_DISK or (path and error.errno in _REFUSED):
                return error.errno, str(path)
            if error.errno is None and _FULL.search(str(error)):
                return errno.ENOSPC, ""
        elif any(kind.__name__ == "OpError" for kind in type(error).__mro__):
            found = _TENSORFLOW.search(str(error))
            if found:
                return _NUMBERS[found[2]], found[1].strip()
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None, ""
