"""The one exception for input that a user can put right, and what of the disk's refusals is told in the same way."""

import errno

# What a disk or a path refuses, and no program of ours can mend.
_REFUSED = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST,
)  # fmt: skip


class InputError(ValueError):
    """Bad input, told in one line: which file, which field, what was found, what was expected.

    Programs in `experiments/` and `figures/` print the line to standard error and exit with a non-zero code.
    """


def refusal(error: OSError) -> str | None:
    """One line on a file or folder that cannot be used as asked; None for an error that is ours."""
    if error.errno not in _REFUSED or error.filename is None:
        return None
    return f"{error.filename}: {error.strerror}"
