"""The data set of a run, with the features its network stands on: when the run is made, and when it is read again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dseh_tf.data import RetrievalDataset, catalog
from dseh_tf.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf

    from dseh_tf.methods.image_encoder import Trunk
    from dseh_tf.models.backbones import Backbone


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
    """The trunk that config.json of a run on images names. Raises InputError on a field that no trunk has."""
    from dseh_tf.methods.image_encoder import Trunk

    stored, known = config["trunk"], [field.name for field in fields(Trunk)]
    unknown = sorted(set(stored) - set(known))
    if unknown:
        raise InputError(f"config.json: trunk: found {', '.join(unknown)}, expected {', '.join(known)}")
    scaling = stored.get("scaling")
    return Trunk(**{**stored, "scaling": None if scaling is None else tuple(scaling)})


def frozen_trunk(config: Mapping[str, Any], trunk: Trunk) -> Backbone:
    """The frozen trunk below a run's network, made again. Raises InputError where it is another network by now."""
    check_trunk_files(config, trunk)
    backbone = trunk.build(config["seed"])
    expected = config.get("features", {}).get("fingerprint")
    if expected is not None and backbone.fingerprint() != expected:
        raise InputError(f"{trunk.backbone}: found other weights, expected those that the run's features were extracted with")
    return backbone


def check_trunk_files(config: Mapping[str, Any], trunk: Trunk) -> None:
    """Raises InputError where a file that the run's trunk was read from holds something else by now."""
    known = config.get("trunk_files", {})
    now = trunk_digests(trunk) if known else {}
    for name, digest in known.items():
        if now.get(name) != digest:
            file = {"backbone": trunk.backbone, "backbone_weights": trunk.weights}[name]
            found = "no such file" if name not in now else "another file"
            raise InputError(f"{file}: found {found}, expected the {name} that the run was made with")


def trunk_digests(trunk: Trunk) -> dict[str, str]:
    """Of the files a trunk is read from, by what they are: the same path may hold another network when a run goes on."""
    files = {"backbone": trunk.backbone, "backbone_weights": trunk.weights}
    digests = {}
    for name, path in files.items():
        if path and Path(path).is_file():
            digest = hashlib.sha256()
            with Path(path).open("rb") as file:
                for block in iter(lambda file=file: file.read(1 << 20), b""):
                    digest.update(block)
            digests[name] = digest.hexdigest()[:16]
    return digests
