"""The data of TensorBoard's HParams page for the runs of a suite: the settings that differ between runs, and the
scores.

    tensorboard --logdir runs/SUITE

Without it, the page lists every setting of every method, and every scalar of training as a score.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dseh_tf.errors import InputError
from dseh_tf.runs import read_config, run_folders

FOLDER = "tensorboard"  # of the suite; the runs have one each
SCORES = {"map": "MAP", "map_labels": "MAP of label codes"}
_NAMES = ("dataset", "method", "preset", "bits", "seed")


def write_experiment(folder: Path) -> None:
    """Writes `folder`/tensorboard, which TensorBoard reads when it is started on `folder`."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.plugins.hparams import api
    from tensorboard.plugins.hparams.summary_v2 import hparams_config_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    runs = []
    for run in run_folders(folder):
        with suppress(InputError):  # a damaged folder is reported by what reads its numbers
            runs.append(values(read_config(run)))
    metrics = [api.Metric(tag, display_name=title) for tag, title in SCORES.items()]
    summary = hparams_config_pb(list(map(api.HParam, columns(runs))), metrics)
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
    writer = EventFileWriter(str(folder / FOLDER))
    writer.add_event(Event(wall_time=time.time(), summary=summary))
    writer.close()


def values(config: Mapping[str, Any]) -> dict[str, Any]:
    """The hyper-parameters of a run by name, from its config.json."""
    return {name: config[name] for name in _NAMES if name in config} | dict(config.get("settings", {}))


def columns(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The method, data set, code length, seed and preset, then the settings that differ between runs of one method."""
    found: dict[str, None] = dict.fromkeys(name for name in _NAMES if any(name in run for run in runs))
    seen: dict[tuple[str, str], set[str]] = {}
    for run in runs:
        for name, value in run.items():
            seen.setdefault((str(run.get("method")), name), set()).add(json.dumps(value, sort_keys=True, default=str))
    differing = sorted(name for (_, name), texts in seen.items() if len(texts) > 1)
    return list(found | dict.fromkeys(differing))
