"""A run of several processes: how its workers connect, what they agree on before training, and how all of them end."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from absl import logging

from dseh_tf.data import RetrievalDataset
from dseh_tf.devices.cluster import VARIABLE, read_cluster
from dseh_tf.devices.workers import ALONE, Workers
from dseh_tf.errors import InputError, refusal
from dseh_tf.files import json_text
from dseh_tf.runs import check_same, open_workdir, read_config
from experiments import program

_SHARED = 5.0  # seconds in which a file that worker 0 wrote has to appear in a folder that all workers share
_ending = threading.Lock()

Value = TypeVar("Value")


def join(strategy: str, timeout: float, silence: float) -> Workers:
    """The workers of the run: this process alone, or those of TF_CONFIG after all of them have connected.

    Args:
        strategy: The flag's value.
        timeout: Seconds to wait for a worker that has not come.
        silence: Seconds without a sign of life after which a worker is lost.

    Raises:
        InputError: TF_CONFIG is invalid, or a worker does not connect.
    """
    if strategy != "multi_worker":
        return ALONE
    cluster = read_cluster()
    os.environ[VARIABLE] = cluster.text()
    logging.info("%s of %d: waiting for the others", cluster.name(cluster.index), len(cluster.addresses))
    return Workers(cluster, timeout, silence, lambda line: end(f"error: {line}", 2))


@contextmanager
def together(workers: Workers) -> Iterator[None]:
    """Errors inside the block end the run on all workers: if one fails, all end with the same line.

    The process is then ended directly, because TensorFlow would wait for the other workers when it is unloaded.
    """
    if workers.count == 1:
        yield
        return
    try:
        yield
    except KeyboardInterrupt:
        workers.fail("stopped")
        end("stopped", program.STOPPED)
    except Exception as error:
        line = str(error) if isinstance(error, InputError) else refusal(error) or program.out_of_memory(error)
        if line is None and _of_tensorflow(error):
            line = workers.wait_for_loss() or None
        if line is not None:
            workers.fail(line)
            end(f"error: {line}", 2)
        workers.fail(f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}")
        end(traceback.format_exc().rstrip(), 1)
    workers.finish()


def end(line: str, code: int) -> NoReturn:
    """Ends this process at once, from any thread, with a line on standard error."""
    _ending.acquire()  # never released: a thread that comes second waits for the end
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            if stream is sys.stderr:
                print(line, file=stream)
            stream.flush()
    os._exit(code)


def open_together(workers: Workers, workdir: Path, config: Mapping[str, Any]) -> bool:
    """Like `open_workdir`: worker 0 opens the folder, and the others check that it is theirs, too.

    Raises:
        InputError: As in `open_workdir`; this worker does not see worker 0's config.json, or has a different configuration.
    """
    path = workdir / "config.json"
    opened = None
    if workers.chief:
        finished = open_workdir(workdir, config)
        opened = [finished, zlib.crc32(path.read_bytes())]
    finished, digest = workers.agree("run folder", opened)[0]
    if not workers.chief:
        deadline = time.monotonic() + _SHARED
        while (found := _digest(path)) != digest and time.monotonic() < deadline:
            time.sleep(0.2)
        if found != digest:
            what = "no file" if found is None else f"a file of CRC-32 {found:08x}"
            raise InputError(
                f"{path}: found {what}, expected worker 0's (CRC-32 {digest:08x}): --workdir is one folder that all workers share"
            )
        try:
            check_same(path, read_config(workdir), json.loads(json_text(config, indent=None)))
        except InputError as error:
            line = str(error).removesuffix("; choose another --workdir")
            raise InputError(f"{line}; start all workers with the same flags and files") from None
    workers.agree("same configuration", None)
    return bool(finished)


def chief_first(workers: Workers, name: str, act: Callable[[], Value]) -> Value:
    """What `act` returns on each worker. Worker 0 runs it first: the others find the files that it has made."""
    if workers.chief:
        value = act()
    workers.agree(name, None)
    if not workers.chief:
        value = act()
    return value


def check_data(workers: Workers, dataset: RetrievalDataset) -> None:
    """Checks that all workers have the same rows. Raises InputError if this one has others than worker 0."""
    own = {}
    for part in ("train", "query", "database"):
        split = getattr(dataset, part)
        ids = zlib.crc32("\n".join(split.ids.tolist()).encode(errors="surrogateescape"))
        own[part] = f"{len(split)} rows of CRC-32 {zlib.crc32(split.labels.tobytes(), ids):08x}"
    chief = workers.agree("data", own)[0]
    for part, found in own.items():
        if found != chief[part]:
            raise InputError(f"{dataset.name}: {part}: found {found}, expected {chief[part]} as worker 0")
    workers.agree("same data", None)


def _digest(path: Path) -> int | None:
    try:
        return zlib.crc32(path.read_bytes())
    except OSError:
        return None


def _of_tensorflow(error: BaseException) -> bool:
    """Whether it is an error of an operation, as where a collective one misses a worker. Does not import TensorFlow."""
    return any(kind.__name__ == "OpError" for kind in type(error).__mro__)
