"""The start of every program and its errors: flags, `--help`, paths, and bad input as one line with exit code 2.

Also used by the programs in figures/ and benchmarks/. Does not import TensorFlow.
"""

from __future__ import annotations

import argparse
import io
import logging as python_logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from absl import app, flags, logging

from dseh_tf.errors import InputError, refusal
from dseh_tf.files import writing
from experiments.help_text import help_text

flags.disclaim_key_flags()  # a flag defined through this module belongs to the module that asks for it

STOPPED = 130  # the exit code after Ctrl-C, as a shell has it
_PARENT = "DSEH_TF_PARENT"  # environment variable: the process id without which this process ends
_PARENT_PAUSE = 1.0  # seconds between two looks at the parent

_CHATTY = ("/tensorflow/python/", "/tensorflow_datasets/core/")
_HELP = ("--help", "-help", "--helpshort", "-h", "-?")


def worth_telling(record: python_logging.LogRecord) -> bool:
    """False for what TensorFlow's own files tell below a warning: a line for every checkpoint and every reader."""
    return record.levelno > python_logging.INFO or not any(part in record.pathname for part in _CHATTY)


def out_of_memory(error: Exception) -> str | None:
    """One line on an allocation of Python, numpy or TensorFlow that failed; None for other errors."""
    tf_errors = getattr(sys.modules.get("tensorflow"), "errors", None)
    exhausted = () if tf_errors is None else (tf_errors.ResourceExhaustedError,)
    # TensorFlow has the same error for a disk that is full.
    if not isinstance(error, (MemoryError, *exhausted)) or "No space left" in str(error):
        return None
    asked = re.search(r"tensor with shape ?(\[[\d,]*\])|Unable to allocate ([^\n]*)", str(error))
    what = "what was asked for" if asked is None else f"a tensor of shape {asked[1]}" if asked[1] else asked[2]
    return f"memory: found too little for {what}, expected enough; use fewer bits, narrower layers, or smaller batches or images"


def run(main: Callable[[list[str]], int | None], takes: str = "") -> None:
    """Parses the flags, calls `main` with the arguments, and ends the process; bad input is one line.

    TensorFlow's chatter is left out, but for what it writes while it is imported, before it reads its level: two lines on
    CUDA if there is none.

    Args:
        main: Receives the program's name and its arguments without flags; returns the exit code, or None for 0.
        takes: What the arguments are, for `--help`. Empty if the program takes flags only.
    """
    # Its failures come as exceptions; level 2 still complains of the CUDA that is not there.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # ids are of any letters; a terminal, or a file, may lack some
            stream.reconfigure(errors="backslashreplace")
    logging.set_verbosity(logging.INFO)
    logging.get_absl_logger().addFilter(worth_telling)
    # faiss logs each variant of its library that it tries, as a ModuleNotFoundError where there is another one.
    python_logging.getLogger("faiss.loader").setLevel(python_logging.WARNING)
    _end_with_parent()

    def parse(arguments: list[str]) -> list[str]:
        if any(argument in _HELP for argument in arguments[1:]):
            print(help_text(takes))
            sys.exit(0)
        return _guarded(lambda: parsed(arguments))

    def guarded(arguments: list[str]) -> int | None:
        def checked() -> int | None:
            if len(arguments) > 1 and not takes:
                raise InputError(f"arguments: found {' '.join(arguments[1:])!r}, expected flags only")
            code = main(arguments)
            with writing("standard output"):
                sys.stdout.flush()
            return code

        return _guarded(checked)

    app.run(guarded, flags_parser=parse)


def _guarded(act: Callable[[], Any]) -> Any:
    """The result of `act`. Ends the process, with one line, on bad input, a refusing disk, Ctrl-C and a closed pipe."""
    try:
        return act()
    except InputError as error:
        _end(f"error: {error}", 2)
    except KeyboardInterrupt:
        _end("stopped", STOPPED)
    except BrokenPipeError:  # as in `... | head`
        _discard_output()
        sys.exit(128 + signal.SIGPIPE)
    except Exception as error:
        line = refusal(error) or out_of_memory(error)
        if line is None:
            raise
        _end(f"error: {line}", 2)


def _end(line: str, code: int) -> NoReturn:
    print(line, file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:
        _discard_output()
    sys.exit(code)


def _discard_output() -> None:
    """Standard output cannot be written any more; what is still in its buffer would raise again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def parsed(arguments: Sequence[str], values: flags.FlagValues = flags.FLAGS) -> list[str]:
    """Parses flags, which may come before and after other arguments.

    Returns:
        The program's name and the arguments that are not flags.

    Raises:
        InputError: On a flag that does not exist, has no value, or a value of a different kind.
    """
    values.set_gnu_getopt(True)
    try:
        return values(list(arguments))
    except flags.UnrecognizedFlagError as error:
        meant = re.search(r"Did you mean: ([^?]*?) \?", str(error))
        near = f", expected perhaps --{meant[1].replace(', ', ' or --')}" if meant else ""
        raise InputError(f"--{error.flagname}: found no such flag{near} (--help lists all)") from None
    except flags.CantOpenFlagFileError as error:
        name = str(error).rpartition(": ")[2]
        raise InputError(
            f"--flagfile: found no file {name} that can be read, expected one with a flag a line"
        ) from None
    except (flags.Error, ValueError) as error:
        raise InputError(_line(" ".join(str(error).split()), values)) from None


def _line(message: str, values: flags.FlagValues) -> str:
    """absl's message on a flag as this project's: which flag, what was found, what was expected."""
    missing = re.fullmatch(r"Missing value for flag -*(\w+)", message)
    if missing:
        return f"--{missing[1]}: found no value, expected {_expected(missing[1], values)}"
    unset = re.match(r"flag --(\w+)=None: Flag --\w+ must have a value", message)
    if unset:
        return f"--{unset[1]}: found none, expected {_expected(unset[1], values)}: {values[unset[1]].help}"
    wrong = re.match(r"flag --(\w+)=(.*?): (.*)", message)
    if wrong and wrong[1] in values:
        kind = type(values[wrong[1]].parser)
        expected = wrong[3] if kind is _PathParser else _expected(wrong[1], values)
        return f"--{wrong[1]}: found {wrong[2]!r}, expected {expected}"
    return message


def _expected(name: str, values: flags.FlagValues) -> str:
    if name not in values:
        return "a value"
    parser = values[name].parser
    choices = getattr(parser, "enum_values", None)
    if choices:
        return f"one of {', '.join(choices)}"
    return "true or false" if isinstance(values[name], flags.BooleanFlag) else parser.syntactic_help or "a text"


def expanded(text: str) -> str:
    """The path with a leading `~` or `~user` replaced: a shell leaves the `~` of `--flag=~/x` as it is.

    Raises:
        ValueError: Saying what was expected, where the path is empty or there is no such user.
    """
    if not text.strip():
        raise ValueError("a path")
    path = os.path.expanduser(text)  # noqa: PTH111  pathlib would turn ./compact into compact and drop a last slash
    if path.startswith("~"):
        raise ValueError(f"a path of a user of this machine (./{text} is a file of that name)")
    return path


def given_path(text: str, flag: str) -> str:
    """As `expanded`, for a path that does not come from a path flag; `flag` is named in errors.

    Raises:
        InputError: The path is empty, or there is no such user.
    """
    try:
        return expanded(text)
    except ValueError as error:
        raise InputError(f"{flag}: found {text!r}, expected {error}") from None


class _PathParser(flags.ArgumentParser):
    syntactic_help = "a path"

    def parse(self, argument: str) -> str:
        return expanded(str(argument))

    def flag_type(self) -> str:
        return "path"


def DEFINE_path(
    name: str, default: str | None, help: str, flag_values: flags.FlagValues = flags.FLAGS, required: bool = False
) -> flags.FlagHolder:
    """A flag whose value is a path, or a name that may be one: a text with `~` expanded. Every path flag is one of these."""
    return flags.DEFINE(_PathParser(), name, default, help, flag_values, flags.ArgumentSerializer(), required=required)


def DEFINE_multi_path(
    name: str, default: list[str] | None, help: str, flag_values: flags.FlagValues = flags.FLAGS
) -> flags.FlagHolder:
    """Like `DEFINE_path`; the flag may be repeated and its value is a list."""
    return flags.DEFINE_multi(_PathParser(), flags.ArgumentSerializer(), name, default, help, flag_values)


def is_path(flag: flags.Flag) -> bool:
    """Whether the flag was defined by `DEFINE_path` or `DEFINE_multi_path`."""
    return isinstance(flag.parser, _PathParser)


class ArgumentParser(argparse.ArgumentParser):
    """argparse's parser for the benchmarks: their docstring is the help, and bad input is one line."""

    def __init__(self, doc: str | None) -> None:
        super().__init__(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message: str) -> NoReturn:
        _end(f"error: {' '.join(message.split())}", 2)


def path(text: str) -> Path:
    """The type of a path argument of `ArgumentParser`."""
    try:
        return Path(expanded(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected {error}") from None


def child_environment() -> dict[str, str]:
    """The environment for a child that runs one of these programs: it ends when this process ends, however that ends."""
    return {**os.environ, _PARENT: str(os.getpid())}


def _end_with_parent() -> None:
    """Ends this process, and what it started, soon after the process that `child_environment` named is gone.

    The parent is looked at, not a pipe, so that nobody depends on the child's standard input; a killed parent cannot
    signal. A thread can do it: what a run leaves when it is killed is resumed.
    """
    parent = os.environ.pop(_PARENT, "")  # popped: not for the children of this process
    if not parent.isdecimal():
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(_PARENT_PAUSE)
        if os.getpgrp() == os.getpid():  # the suite makes each run the leader of a group
            os.killpg(os.getpgrp(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGKILL)  # where SIGTERM is ignored

    threading.Thread(target=watch, daemon=True, name="end with parent").start()
