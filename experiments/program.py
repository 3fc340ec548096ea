"""How every program here starts and fails: bad input is one line on standard error and exit code 2."""

from __future__ import annotations

import logging as python_logging
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from absl import app, logging

from dseh_tf.errors import InputError, refusal
from dseh_tf.files import writing

_CHATTY = ("/tensorflow/python/", "/tensorflow_datasets/core/")


def worth_telling(record: python_logging.LogRecord) -> bool:
    """False for what TensorFlow's own files tell below a warning: a line for every checkpoint and every reader."""
    return record.levelno > python_logging.INFO or not any(part in record.pathname for part in _CHATTY)


def run(main: Callable[[list[str]], None]) -> None:
    """absl's app.run with its logging shown; bad input or a disk that refuses is one line.

    TensorFlow's chatter is left out, but for what it writes while it is imported, before it reads its level: two lines on
    CUDA where there is none.
    """
    # Its failures come as exceptions; level 2 still complains of the CUDA that is not there.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.set_verbosity(logging.INFO)
    logging.get_absl_logger().addFilter(worth_telling)

    def guarded(arguments: list[str]) -> None:
        try:
            if len(arguments) > 1:
                raise InputError(f"arguments: found {' '.join(arguments[1:])!r}, expected flags only")
            main(arguments)
            with writing("standard output"):
                sys.stdout.flush()
        except BrokenPipeError:  # who read the output wanted no more of it, as `head`
            _end(1)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        except Exception as error:
            told = refusal(error)
            if told is None:
                raise
            print(f"error: {told}", file=sys.stderr)
            _end(2)

    app.run(guarded)


def _end(code: int) -> NoReturn:
    """Ends the program without a word on output that cannot be written any more: Python would tell of it at the end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)
