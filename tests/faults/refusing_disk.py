"""Sessions of one small run on a disk that refuses, as `test_refusing_disk.py` reads them.

    python -m tests.faults.refusing_disk FOLDER

A process of its own, since one that has used TensorFlow cannot be forked. Prints what each session left as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tests.faults import forked, small_runs

NAME = "DPSH"
SMALL, LARGE = 500, 200_000  # bytes: less than config.json has, and less than a checkpoint and the thumbnails


def main() -> None:
    import tensorflow as tf  # noqa: F401

    import dseh_tf.methods  # noqa: F401

    root = Path(sys.argv[1]).resolve()
    lists = small_runs.write_lists(root / "lists")
    told: dict[str, dict] = {}

    def session(name: str, workdir: Path, moment: forked.Moment | None = None, prepare=lambda: None) -> forked.Ended:
        act = forked.program("experiments.run", small_runs.arguments(NAME, lists, workdir))
        ended = forked.watched(act, workdir, root / f"{name}.log", moment, prepare)
        told[name] = {
            "status": ended.status,
            "errors": [line for line in ended.output.splitlines() if line.startswith("error:")],
            "traceback": "Traceback" in ended.output,
            "output": ended.output[-2000:],
            "files": sorted(str(file.relative_to(workdir)) for file in workdir.rglob("*") if file.is_file()),
            "differences": small_runs.differences(workdir, whole) if (workdir / "result.json").exists() else None,
        }
        return ended

    whole = root / "whole"
    changes = [Path(path).relative_to(whole) for _, path in session("whole", whole).changes]

    # Two processes on one folder: the second comes when the first has written its first file.
    workdir, log = root / "two", root / "second.log"
    act = forked.program("experiments.run", small_runs.arguments(NAME, lists, workdir))
    first = forked.start(act, root / "first.log")
    while not (workdir / "config.json").exists():
        time.sleep(0.01)
    status = forked.wait(forked.start(act, log))
    alive = os.waitpid(first, os.WNOHANG) == (0, 0)
    os.kill(first, signal.SIGKILL)
    forked.wait(first)
    told["second"] = {"status": status, "output": log.read_text(), "first is alive": alive}

    # A disk without room for the first file, for a checkpoint, and for a file of results.
    workdir = root / "full"
    session("no room for config.json", workdir, prepare=partial(forked.limit_files, SMALL))
    session("no room for a checkpoint", workdir, prepare=partial(forked.limit_files, LARGE))
    results = next(i for i, path in enumerate(changes) if "codes.npz" in path.name)
    session("killed while writing results", workdir, forked.Moment(results + 1, 0.0))
    session("no room for results", workdir, prepare=partial(forked.limit_files, LARGE))
    # Without the right to write: for a file of results, and for a checkpoint, of which the newest is damaged.
    workdir.chmod(0o555)
    session("a folder that is read-only", workdir, prepare=forked.obey_permissions)
    workdir.chmod(0o755)
    newest = sorted((workdir / "checkpoints").iterdir())[-1]
    _flip(newest / "state.data-00000-of-00001")
    (workdir / "checkpoints").chmod(0o555)
    session("checkpoints that are read-only", workdir, prepare=forked.obey_permissions)
    (workdir / "checkpoints").chmod(0o755)
    told["damaged"] = {"name": newest.name}
    session("room again", workdir)
    print(json.dumps(told))


def _flip(file: Path) -> None:
    """One bit in the middle of a file."""
    contents = bytearray(file.read_bytes())
    contents[len(contents) // 2] ^= 1
    file.write_bytes(contents)


if __name__ == "__main__":
    main()
