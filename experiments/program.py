"""How every program here starts and fails: bad input is one line on standard error and exit code 2."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

from absl import app, logging

from dseh_tf.errors import InputError

# What a disk refuses, and no program of ours can mend: told as bad input is.
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)


def run(main: Callable[[list[str]], None]) -> None:
    """absl's app.run with its logging shown, and without TensorFlow's chatter; bad input or a disk that refuses is one line."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.set_verbosity(logging.INFO)

    def guarded(arguments: list[str]) -> None:
        try:
            if len(arguments) > 1:
                raise InputError(f"arguments: found {' '.join(arguments[1:])!r}, expected flags only")
            main(arguments)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        except OSError as error:
            if error.errno not in _REFUSED or error.filename is None:
                raise
            print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
            sys.exit(2)

    app.run(guarded)
