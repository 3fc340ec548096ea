"""Checks whether runs can start: flags, data, features, backbones and settings, before the first run starts.

Used by experiments.suite and experiments.tune in a separate process: it defines the flags of experiments.run, and loads
TensorFlow only if everything else is in order. Nothing is downloaded, decoded or trained.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from dseh_tf.data import catalog
from dseh_tf.errors import InputError, refusal
from dseh_tf.files import json_text
from experiments import backbone_flags, data_flags, program, run, run_data

_ROWS = 200  # image files looked for, of each list


def main() -> None:
    """Reads a JSON list of runs, each a list of flags; prints a JSON list of problems, a line each."""
    runs = json.load(sys.stdin)
    problems = _problems(runs, check_files) or _problems(runs, check_method)
    print(json.dumps(problems))


def resolve() -> None:
    """Reads a JSON list of runs, as `main`; prints a JSON list of their configurations, or of the lines that refuse them."""
    print(json_text([_of_flags(arguments, _config) for arguments in json.load(sys.stdin)], indent=None))


def settings() -> None:
    """Reads a JSON list of runs, as `main`; prints for each what decides its numbers, or the line that refuses it.

    Unlike `resolve`, it needs no file of the run: neither data nor features nor the backbone.
    """
    print(json_text([_of_flags(arguments, _settings) for arguments in json.load(sys.stdin)], indent=None))


def _settings() -> dict[str, Any]:
    method = run._method()
    chosen = {name: getattr(method, name) for name in ("preset", "phases") if hasattr(method, name)}
    whole = flags.FLAGS.whole_database
    return {
        "settings": dataclasses.asdict(method.settings), "data": data_flags.config(), "whole_database": whole, **chosen
    }  # fmt: skip


def _config() -> dict[str, Any]:
    """The configuration of the run that the flags say. The files of one data set are looked at once for all its runs."""
    places = tuple(flags.FLAGS[name].value for name in ("dataset", "lists_dir", "images_root"))
    if places not in _data:
        _data[places] = run.data_config()
    return run.config_of(run._method(), _data[places])


_data: dict[tuple, dict[str, Any]] = {}


def _of_flags(arguments: Sequence[str], function: Callable[[], Any]) -> Any:
    """What `function` returns with these flags of experiments.run, or the line of its error."""
    for name in flags.FLAGS:
        flags.FLAGS[name].unparse()
    try:
        program.parsed(["run", *arguments])
        return function()
    except (InputError, OSError) as error:
        return str(error) if isinstance(error, InputError) else refusal(error) or str(error)


def _problems(runs: Sequence[Sequence[str]], check: Callable[[], None]) -> list[str]:
    """The distinct problems that `check` finds with the flags of each run; with the number of runs that have it."""
    found: dict[str, int] = {}
    for arguments in runs:
        line = _of_flags(arguments, check)
        if line is not None:
            found[line] = found.get(line, 0) + 1
    return [f"{line} ({count} of {len(runs)} runs)" if len(runs) > 1 else line for line, count in found.items()]


_seen: dict[str, InputError | None] = {}


def _once(key: Any, check: Callable[[], None]) -> None:
    """Makes a check that many runs share once, and raises its InputError for each of them."""
    key = repr(key)
    if key not in _seen:
        try:
            check()
            _seen[key] = None
        except InputError as error:
            _seen[key] = error
    failed = _seen[key]
    if failed is not None:
        raise failed


def check_files() -> None:
    """Data, features and backbone files of the run that the flags say. Loads no TensorFlow.

    Raises:
        InputError: As in the readers, and if a file is missing.
    """
    labels_only = flags.FLAGS.phases == "labnet"
    features = Path(flags.FLAGS.features) if flags.FLAGS.features is not None and not labels_only else None
    name, options = data_flags.DATASET.value, data_flags.options(labels_only=True)
    _once((name, options, features, labels_only), lambda: _check_data(name, options, features, labels_only))
    if features is None and not labels_only:
        backbone, weights = backbone_flags.BACKBONE.value, flags.FLAGS.backbone_weights
        for flag, path in (("backbone", backbone), ("backbone_weights", weights)):
            named = path is not None and (flag == "backbone_weights" and path not in ("imagenet", "random"))
            if (named or str(path).endswith(".keras")) and not Path(path).is_file():
                raise InputError(f"{flag}: {path}: found no such file, expected one")


def _check_data(name: str, options: catalog.DataOptions, features: Path | None, labels_only: bool) -> None:
    data_set = catalog.find(name)
    if features is not None:
        from dseh_tf.encoding.features import read_summary

        read_summary(features)
    if data_set.records is not None or not data_set.source:
        return  # embedded, or a matter of TFDS: see check_method
    dataset = catalog.load(name, options)
    if features is not None:
        run_data.load(name, options, None, features)
    elif name == "image_lists" and not labels_only and not options.skip_bad_images:
        root = options.images_root or options.lists_dir
        for part in ("train", "query", "database"):
            ids = getattr(dataset, part).ids
            for row in np.unique(np.linspace(0, len(ids) - 1, _ROWS).astype(int)):
                if not (root / ids[row]).is_file():
                    raise InputError(f"{root / ids[row]}: found no such file, expected an image of the {part} list")


def check_method() -> None:
    """The method's settings, the backbone's name and what TFDS can prepare. Loads TensorFlow.

    Raises:
        InputError: As experiments.run does.
    """
    method = run._method()
    if flags.FLAGS.features is None and method.needs_images:
        from dseh_tf.models.backbones.applications import APPLICATIONS

        name, weights = backbone_flags.BACKBONE.value, flags.FLAGS.backbone_weights
        if name not in ("compact", "cnn_f", *APPLICATIONS) and not name.endswith(".keras"):
            known = f"compact, cnn_f, the path of a .keras file, or one of {', '.join(APPLICATIONS)}"
            raise InputError(f"backbone: found {name!r}, expected {known}")
        if name == "cnn_f" and weights is None:
            raise InputError(
                "backbone_weights: found none, expected the path of imagenet-vgg-f.mat, or random, for cnn_f"
            )
    name = data_flags.DATASET.value
    prepared = catalog.find(name).records
    if prepared is not None:
        _once((name, data_flags.DATA_DIR.value), lambda: _check_tfds(prepared, Path(data_flags.DATA_DIR.value)))


def _check_tfds(name: str, data_dir: Path) -> None:
    """That TFDS knows the data set, and has what must be downloaded by hand."""
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except (tfds.core.registered.DatasetNotFoundError, ValueError, ImportError) as error:
        raise InputError(
            f"dataset: TFDS cannot make {name!r}: {(str(error).strip().splitlines() or ['?'])[0]}"
        ) from None
    manual = data_dir / "downloads" / "manual"
    by_hand = builder.MANUAL_DOWNLOAD_INSTRUCTIONS and not builder.info.splits
    if by_hand and not (manual.is_dir() and any(manual.iterdir())):
        advice = " ".join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split())
        raise InputError(
            f"{builder.data_dir}: found no such folder, nor files in {manual}, expected one of them; {advice}"
        )
