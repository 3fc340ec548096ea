"""Trains a method on a data set, evaluates it, and writes a run folder.

    python -m experiments.run --dataset=multi_digits --method=dseh --bits=32 --preset=release --seed=0 --workdir=runs/x

Without flags, it trains DSEH on the embedded data set `multi_digits`. The same command with the same workdir resumes
the run, or says that it is finished. DSEH with `--phases=labnet` needs no images.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from absl import flags, logging

from dseh_tf.devices.workers import SILENCE, TIMEOUT, Workers
from dseh_tf.errors import InputError
from dseh_tf.runs import environment, held, listing
from experiments import backbone_flags, data_flags, multi_worker, program, run_data

_METHOD = flags.DEFINE_string("method", "dseh", "Name in dseh_tf.methods.METHODS, or package.module:Class.")
_BITS = flags.DEFINE_integer("bits", 32, "Length of the hash codes.")
_PRESET = flags.DEFINE_string(
    "preset",
    None,
    "Preset of DSEH: release, paper or modern. Default: release if the data set or --preset_dataset has published "
    "settings, else modern. Preset of SSAH: paper (default) or release.",
)
_PRESET_DATASET = flags.DEFINE_string(
    "preset_dataset",
    None,
    "Row of the preset: nus_wide, imagenet or ms_coco; for DJSRH nus_wide, mirflickr25k or wikipedia. Default: the data "
    "set's own row, else nus_wide; release and paper then smooth S in DSEH's LabNet.",
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Seed of weights, batches, augmentation and random projections.", lower_bound=0, upper_bound=2_000_000
)
_WORKDIR = program.DEFINE_path("workdir", None, "Run folder. Default: runs/<dataset>-<method>-<bits>-<seed>.")

_VALIDATION = flags.DEFINE_float(
    "validation",
    0.0,
    "Fraction of the training rows to hold out as queries instead of the test queries, to choose settings.",
)

_WHOLE_DATABASE = flags.DEFINE_bool(
    "whole_database", False, "Train on all database rows, as asymmetric methods require."
)

_FEATURES = program.DEFINE_path(
    "features", None, "Folder of experiments.extract_features to train on; no image is needed."
)

_PHASES = flags.DEFINE_string("phases", "all", "DSEH: all, or labnet to train only LabNet in round 0.")
_ROUNDS = flags.DEFINE_integer("rounds", None, "DSEH: rounds of alternation.", lower_bound=1)
_LABNET_EPOCHS = flags.DEFINE_integer("labnet_epochs", None, "DSEH: LabNet epochs per round.", lower_bound=0)
_IMGNET_EPOCHS = flags.DEFINE_integer("imgnet_epochs", None, "DSEH: ImgNet epochs per round.", lower_bound=0)
_OPTIMIZER = flags.DEFINE_string("optimizer", None, "adam or sgd.")
_LEARNING_RATE = flags.DEFINE_float("learning_rate", None, "Initial learning rate of the image network's new layers.")
_SET = flags.DEFINE_multi_string("set", [], "Any other setting of the method, as name=value.")

_STRATEGY = flags.DEFINE_string("strategy", "default", "default, mirrored, or multi_worker (docs/multi-worker.md).")
_WORKER_TIMEOUT = flags.DEFINE_float(
    "worker_timeout", TIMEOUT, "multi_worker: seconds to wait for workers at the start.", lower_bound=1.0
)
_WORKER_SILENCE = flags.DEFINE_float(
    "worker_silence", SILENCE, "multi_worker: seconds of silence after which a worker is lost.", lower_bound=1.0
)
_REPLICAS = flags.DEFINE_integer(
    "replicas", 0, "Number of devices; logical CPUs if GPUs are too few. 0: all GPUs, or one CPU.", lower_bound=0
)
_DETERMINISTIC = flags.DEFINE_bool("deterministic", True, "Give the same numbers every time the same command is run.")
_CHECKPOINT_STEPS = flags.DEFINE_integer(
    "checkpoint_steps", 1000, "Number of steps between checkpoints within a phase.", lower_bound=1
)
_LABEL_REPORT = flags.DEFINE_integer(
    "label_report_epochs", 0, "LabNet epochs between reports of n_h and map_l; 0: only at the end."
)
_EVALUATE_ROUNDS = flags.DEFINE_bool("evaluate_rounds", True, "Evaluate DSEH after every round, not only at the end.")
_JIT = flags.DEFINE_bool("jit_compile", False, "Compile the training steps with XLA, on one device (docs/gpus.md).")
_BFLOAT16 = flags.DEFINE_bool("bfloat16", False, "Compute backbones in bfloat16, the rest in float32 (docs/gpus.md).")
_TF32 = flags.DEFINE_bool("tf32", False, "Use TensorFloat-32 for float32 products on GPUs: faster, less exact.")
_SHARD_ROWS = flags.DEFINE_integer(
    "shard_rows", None, "Number of database rows to encode and evaluate at a time. Default: 1,048,576.", lower_bound=1
)
_PROGRESS = flags.DEFINE_bool("progress", True, "Show progress bars.")

# The types of settings that a value of --set is checked against.
_CHECKED = (str, int, float, bool, tuple)

_PRESET_ROWS = {"nus_wide_21": "nus_wide", "nus_wide_10": "nus_wide", "imagenet_100": "imagenet", "ms_coco": "ms_coco"}


def main(_: list[str]) -> None:
    workdir = Path(
        _WORKDIR.value
        or "runs/" + re.sub("[:/]", "_", f"{data_flags.DATASET.value}-{_METHOD.value}-{_BITS.value}-{_SEED.value}")
    )
    workers = multi_worker.join(_STRATEGY.value, _WORKER_TIMEOUT.value, _WORKER_SILENCE.value)
    with multi_worker.together(workers):
        started, method = time.perf_counter(), _method()
        config = config_of(method, data_config())
        with held(workdir) if workers.chief else nullcontext():
            if multi_worker.open_together(workers, workdir, config):
                print(f"{workdir}: this run is finished; nothing was changed")
            else:
                _run(workdir, method, config, started, workers)
            if workers.chief:
                print(f"run folder {workdir}: {listing(workdir)}")


def _run(workdir: Path, method: Any, config: dict[str, Any], started: float, workers: Workers) -> None:
    """Trains, encodes and evaluates, and writes the files of the run folder."""
    import tensorflow as tf

    from dseh_tf.devices.replicas import make_strategy
    from dseh_tf.devices.runtime import Runtime, float32_products

    tf.keras.utils.set_random_seed(_SEED.value)
    float32_products(_TF32.value)
    if _DETERMINISTIC.value:
        tf.config.experimental.enable_op_determinism()
    strategy = make_strategy(_STRATEGY.value, _REPLICAS.value)
    progress = _PROGRESS.value and workers.chief
    dataset = multi_worker.chief_first(workers, "data set", lambda: _dataset(method, strategy, progress))
    multi_worker.check_data(workers, dataset)
    runtime = Runtime(
        strategy=strategy,
        workers=workers,
        checkpoints=workdir / "checkpoints",
        tensorboard=workdir / "tensorboard",
        checkpoint_steps=_CHECKPOINT_STEPS.value,
        label_report_epochs=_LABEL_REPORT.value,
        evaluate_rounds=_EVALUATE_ROUNDS.value,
        progress=progress,
        jit_compile=_JIT.value,
        bfloat16=_BFLOAT16.value,
        pixel_cache=Path(data_flags.DATA_DIR.value) / "pixels",
    )
    logging.info(
        "%s: %d train, %d query, %d database", dataset.name, *map(len, (dataset.train, dataset.query, dataset.database))
    )
    clock = time.perf_counter()
    fitted = method.fit(dataset, runtime)
    train_seconds = time.perf_counter() - clock if fitted.train_seconds is None else fitted.train_seconds
    seconds = {"prepare_seconds": clock - started, "train_seconds": train_seconds}

    from experiments.results import write_results

    labels_only = not method.needs_images
    write_results(workdir, config, dataset, fitted, seconds, labels_only, _SHARD_ROWS.value, workers)


def _method() -> Any:
    from dseh_tf.methods import find
    from dseh_tf.methods.dseh.presets import ROWS

    kind = find(_METHOD.value)
    of_data_set = getattr(kind, "PRESET_ROWS", _PRESET_ROWS)
    rows = dict.fromkeys((*ROWS, *of_data_set.values()))
    if _PRESET_DATASET.value not in (None, *rows):  # a suite gives it to all methods, and some have no rows
        raise InputError(f"preset_dataset: found {_PRESET_DATASET.value!r}, expected one of {', '.join(rows)}")
    if "trunk" not in kind.OPTIONS and backbone_flags.TRAIN.value and _FEATURES.value is None:
        raise InputError(f"train_backbone: found True, but {_METHOD.value} has no network to train")
    options: dict[str, Any] = {
        "trunk": _trunk() if "trunk" in kind.OPTIONS else None,
        "preset_dataset": _PRESET_DATASET.value or of_data_set.get(data_flags.DATASET.value),
        "preset": _PRESET.value,
        "phases": _PHASES.value,
        "rounds": _ROUNDS.value,
    }
    for flag in (_PRESET, _PHASES, _ROUNDS):
        if flag.name not in kind.OPTIONS and flag.present and flag.value != flag.default:
            of_set = any(flag.name == field.name for field in dataclasses.fields(kind.Settings))
            instead = f"takes it from --set={flag.name}={flag.value}" if of_set else "has no such setting"
            raise InputError(f"{flag.name}: found {flag.value!r}, but {_METHOD.value} {instead}")
    own = {name: value for name, value in options.items() if name in kind.OPTIONS}
    return kind(_BITS.value, _SEED.value, **own, **_settings(kind))


def _trunk() -> Any:
    """The backbone below the method's own layers: as the flags say, or as the features were extracted."""
    if _FEATURES.value is None:
        return backbone_flags.trunk()
    from dseh_tf.encoding.features import read_summary

    return backbone_flags.trunk_of_features(read_summary(Path(_FEATURES.value)), _FEATURES.value)


def _settings(kind: Any) -> dict[str, Any]:
    """Settings given on the command line, in the types of the method's own."""
    hints = get_type_hints(kind.Settings)
    types = {f.name: hints[f.name] for f in dataclasses.fields(kind.Settings)}
    given: dict[str, Any] = {}
    for name, value in (
        ("optimizer", _OPTIMIZER.value),
        (_rate_name(types), _LEARNING_RATE.value),
        ("labnet_epochs", _LABNET_EPOCHS.value),
        ("imgnet_epochs", _IMGNET_EPOCHS.value),
    ):
        if value is not None:
            if name not in types:
                raise InputError(f"{name}: found {value!r}, but {_METHOD.value} has no such setting")
            given[name] = value
    for item in _SET.value:
        name, equals, text = item.partition("=")
        if not equals or name not in types:
            raise InputError(f"set: found {item!r}, expected name=value with name one of {', '.join(sorted(types))}")
        if name in given or name in _also_flags():
            raise InputError(f"set: found {item!r} beside a flag for {name}, expected one of them")
        given[name] = _parsed(name, text, types[name])
    return given


def _parsed(name: str, text: str, kind: Any) -> Any:
    """The text as a value of a setting's type; of a type that is none of `_CHECKED`, whatever literal it is."""
    origin = get_origin(kind) or kind
    try:
        value = text if kind is str else ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = None if origin in _CHECKED else text
    if kind is float and type(value) is int:
        value = float(value)
    whole = get_args(kind) != (int, ...) or (isinstance(value, tuple) and all(type(item) is int for item in value))
    if origin in _CHECKED and (type(value) is not origin or not whole):
        shown = "whole numbers as in 30,20,10 or 30," if get_args(kind) == (int, ...) else origin.__name__
        raise InputError(f"set: {name}: found {text!r}, expected {shown}")
    return value


def _also_flags() -> set[str]:
    """Settings that --rounds, --labnet_epochs and --imgnet_epochs decide if they are given."""
    names = {"labnet_epochs": _LABNET_EPOCHS, "imgnet_epochs": _IMGNET_EPOCHS}
    return {name for name, flag in names.items() if flag.value is not None or _ROUNDS.value is not None}


def _rate_name(types: dict[str, Any]) -> str:
    return "imgnet_learning_rate" if "imgnet_learning_rate" in types else "learning_rate"


def data_config() -> dict[str, Any]:
    """Which files the data set is read from, and their digest, as config.json records them; empty for other data sets."""
    from dseh_tf.data.readers import image_folder, image_lists

    name, lists_dir, images_root = data_flags.DATASET.value, data_flags.LISTS_DIR.value, data_flags.IMAGES_ROOT.value
    if name == "image_lists" and lists_dir:
        images = {"kind": "files", "root": str(Path(images_root or lists_dir).resolve())}
        return {"images": images, "lists": image_lists.digest(Path(lists_dir))}
    if name == "image_folder" and images_root:
        images = {"kind": "folder", "root": str(Path(images_root).resolve())}
        return {"images": images, "folder_files": image_folder.digest(Path(images_root))}
    return {}


def config_of(method: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    """Every resolved setting of the run, as stored in config.json. data: the result of `data_config`."""
    from dseh_tf.data.readers import image_texts
    from dseh_tf.encoding.features import read_summary

    settings = method.resolve(features=_FEATURES.value is not None)
    config: dict[str, Any] = {
        "dataset": data_flags.DATASET.value,
        "method": method.name,
        "bits": _BITS.value,
        "seed": _SEED.value,
        "settings": dataclasses.asdict(settings.settings),
        "settings_origin": dict(settings.origin),
        "data": {**data_flags.config(), "validation": _VALIDATION.value},
        "deterministic": _DETERMINISTIC.value,
        "jit_compile": _JIT.value,
        **data,
    }
    if _BFLOAT16.value:
        config["bfloat16"] = True
    if _TF32.value:
        config["tf32"] = True
    if _WHOLE_DATABASE.value:
        config["whole_database"] = True
    if ":" in _METHOD.value:
        config["method_class"] = _METHOD.value
    config |= method.config()
    if method.needs_texts and data_flags.DATASET.value == "image_lists" and data_flags.LISTS_DIR.value:
        config["texts"] = image_texts.digest(Path(data_flags.LISTS_DIR.value))
    if method.needs_images:
        trunk = dataclasses.asdict(_trunk())
        # Newer fields are left out if they have their defaults, because older runs do not have them.
        config["trunk"] = {
            name: value for name, value in trunk.items() if value or name not in ("train_from", "import_modules")
        }
        if _FEATURES.value is not None:
            config["features"] = read_summary(Path(_FEATURES.value))
        else:
            config |= {"trunk_files": run_data.trunk_digests(_trunk())}
    free = {
        "strategy": _STRATEGY.value,
        "replicas": _REPLICAS.value,
        # Programs that read the run may be started from another folder.
        "data_dir": str(Path(data_flags.DATA_DIR.value).absolute()),
        "lists_dir": data_flags.LISTS_DIR.value and str(Path(data_flags.LISTS_DIR.value).absolute()),
    }
    return config | free | environment()


def _dataset(method: Any, strategy: Any, progress: bool) -> Any:
    labels_only, trunk = not method.needs_images, _trunk()
    dataset = run_data.load(
        data_flags.DATASET.value,
        data_flags.options(labels_only),
        trunk,
        Path(_FEATURES.value) if _FEATURES.value is not None and not labels_only else None,
        seed=_SEED.value,
        mirrored=trunk.mirror and "trunk" in method.OPTIONS,
        strategy=strategy,
        progress=progress,
    )
    if _WHOLE_DATABASE.value:
        dataset = dataset.trained_on_database()
    if _VALIDATION.value:  # after the features, which are the same with and without
        dataset = dataset.validation(_VALIDATION.value, _SEED.value)
    return dataset


if __name__ == "__main__":
    program.run(main)
