"""The data set of a run, with the features that its network uses: when the run is made, and when it is read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from dseh_tf.data import RetrievalDataset, catalog
from dseh_tf.data.files import expanded
from dseh_tf.encoding.trunk import Trunk, check_trunk_files, frozen_trunk, trunk_digests, trunk_of
from dseh_tf.errors import InputError
from experiments import program

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = [
    "READ_BY", "check_trunk_files", "define_places", "frozen_trunk", "load", "options_of", "trunk_digests", "trunk_of",
]  # fmt: skip

# Data flags that only some data sets read, and these data sets.
READ_BY = {option: catalog.readers_of(option) for option in catalog.own_options()}


def load(
    name: str,
    options: catalog.DataOptions,
    trunk: Trunk | None,
    features: Path | None = None,
    *,
    seed: int = 0,
    mirrored: bool = True,
    strategy: tf.distribute.Strategy | None = None,
    progress: bool = True,
) -> RetrievalDataset:
    """The data set `name`: with features of the folder `features`, or, above a frozen trunk, extracted or from the cache.

    With that folder no image is needed, and none with `options.labels_only`, where there are no features. mirrored: of
    mirrored training images too, where they are extracted. seed: of trunks whose weights are drawn. trunk: None only with
    `features` or `options.labels_only`. Raises InputError
    where the folder holds another data set's features, and as `catalog.load`.
    """
    from dseh_tf.encoding.features import SUMMARY, read_features, read_summary, with_features

    if features is not None:
        features = expanded(features)
        extracted_from = read_summary(features).get("dataset")
        dataset = catalog.load(name, replace(options, labels_only=True))
        if extracted_from != name:  # ids of two data sets may be equal
            raise InputError(f"{features / SUMMARY}: dataset: found {extracted_from!r}, expected {name!r}")
        return read_features(dataset, features, missing_ok=options.skip_bad_images)
    # The backbone first: what is wrong with it is said before the data is read.
    backbone = trunk.build(seed) if trunk and trunk.kind == "features" and not options.labels_only else None
    dataset = catalog.load(name, options)
    if backbone is None:
        return dataset
    return with_features(dataset, backbone, options.data_dir / "features", mirrored, strategy, progress)


def define_places(values: flags.FlagValues) -> None:
    """The flags that say where the data of a finished run is now."""
    program.DEFINE_path("data_dir", None, "Folder of the data, if it has moved since the run.", values)
    program.DEFINE_path("lists_dir", None, "image_lists: folder of the lists, if it has moved since the run.", values)
    program.DEFINE_path("images_root", None, "Folder of the images, if it has moved since the run.", values)


def options_of(config: Mapping[str, Any], given: Any) -> catalog.DataOptions:
    """The data options that config.json of a run names, with the places that `given` has (see `define_places`).

    Raises InputError where it names no data set.
    """
    for name in ("dataset", "data"):
        if name not in config:
            raise InputError(f"config.json: {name}: found none, expected that of a run")
    then = {**config, "images_root": config.get("images", {}).get("root")}
    data = {name: value for name, value in config["data"].items() if name != "validation"}
    asked = [
        name
        for name in ("data_dir", "lists_dir", "images_root")
        if config["dataset"] in READ_BY.get(name, config["dataset"])
    ]
    places = {name: getattr(given, name) or then.get(name) for name in asked}
    places["imagenet_classes"] = data.get("imagenet_classes")
    return catalog.DataOptions(**{**data, **{name: Path(value) if value else None for name, value in places.items()}})
