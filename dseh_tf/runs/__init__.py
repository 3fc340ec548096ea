"""Run folders: their format, their lock, and how they are read. Importing this package loads no TensorFlow."""

from dseh_tf.runs.environment import environment
from dseh_tf.runs.folder import check_same, held, listing, open_workdir
from dseh_tf.runs.read import Run, UnfinishedRun, open_run, read_run, run_folders
from dseh_tf.runs.schema import FORMAT, identity, read_config, read_map, read_result

__all__ = [
    "FORMAT",
    "Run",
    "UnfinishedRun",
    "check_same",
    "environment",
    "held",
    "identity",
    "listing",
    "open_run",
    "open_workdir",
    "read_config",
    "read_map",
    "read_result",
    "read_run",
    "run_folders",
]
