"""The data set of a run, with the features its network stands on: when the run is made, and when it is read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dseh_tf.data import RetrievalDataset, catalog
from dseh_tf.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf

    from dseh_tf.methods.image_encoder import Trunk


def load(
    name: str,
    options: catalog.DataOptions,
    trunk: Trunk,
    features: Path | None = None,
    *,
    seed: int = 0,
    mirrored: bool = True,
    strategy: tf.distribute.Strategy | None = None,
    progress: bool = True,
) -> RetrievalDataset:
    """The data set `name`: with features of the folder `features`, or, above a frozen trunk, extracted or from the cache.

    With that folder no image is needed, and none with `options.labels_only`, where there are no features. mirrored: of
    mirrored training images too, where they are extracted. seed: of trunks whose weights are drawn. Raises InputError
    where the folder holds another data set's features, and as `catalog.load`.
    """
    from dseh_tf.data.features import SUMMARY, read_features, read_summary, with_features

    if features is not None:
        extracted_from = read_summary(features).get("dataset")
        dataset = catalog.load(name, replace(options, labels_only=True))
        if extracted_from != name:  # ids of two data sets may be equal
            raise InputError(f"{features / SUMMARY}: dataset: found {extracted_from!r}, expected {name!r}")
        return read_features(dataset, features, missing_ok=options.skip_bad_images)
    dataset = catalog.load(name, options)
    if trunk.kind != "features" or options.labels_only:
        return dataset
    return with_features(dataset, trunk.build(seed), options.data_dir / "features", mirrored, strategy, progress)


def trunk_of(config: Mapping[str, Any]) -> Trunk:
    """The trunk that config.json of a run on images names."""
    from dseh_tf.methods.image_encoder import Trunk

    scaling = config["trunk"]["scaling"]
    return Trunk(**{**config["trunk"], "scaling": None if scaling is None else tuple(scaling)})
