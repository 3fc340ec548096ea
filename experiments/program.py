"""How every program here starts and fails: bad input is one line on standard error and exit code 2."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from absl import app, logging

from dseh_tf.errors import InputError, refusal


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
            told = refusal(error)
            if told is None:
                raise
            print(f"error: {told}", file=sys.stderr)
            sys.exit(2)

    app.run(guarded)
