"""Features of a frozen backbone: extracted once, stored in memory-mapped files, and shared by all methods and runs.

`with_features` stores them in a cache, keyed by what they depend on; `write_features` and `read_features` use a folder
that can be named, copied and trained on without the images.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging
from tqdm import tqdm

from dseh_tf.data.files import check_regular, expanded
from dseh_tf.data.images import ImageSource
from dseh_tf.data.memory_maps import check_finite, mapped, new_array
from dseh_tf.data.pixels import image_batches
from dseh_tf.data.retrieval_dataset import RetrievalDataset
from dseh_tf.data.split import Split
from dseh_tf.errors import InputError
from dseh_tf.files import read_json, writing

if TYPE_CHECKING:
    import tensorflow as tf

    from dseh_tf.models.backbones import Backbone

SUMMARY = "features.json"
_PARTS = ("train", "query", "database")
_BATCH = 64
_BLOCK = 4096  # rows copied or checked at a time


def with_features(
    dataset: RetrievalDataset,
    backbone: Backbone,
    cache_dir: Path,
    mirrored: bool = True,
    strategy: tf.distribute.Strategy | None = None,
    progress: bool = True,
) -> RetrievalDataset:
    """The data set with float32 features [n, dim] in every split, and those of mirrored images in `train`.

    cache_dir: where they are kept as `.npy` memory maps, named by what they depend on: the backbone's weights, the image
    size and the image files. Training rows that are in the database are not extracted twice. Raises InputError on a
    data set without images, an image that cannot be decoded, and a full disk.
    """
    weights, cache_dir = backbone.fingerprint(), expanded(cache_dir)

    def file_of(part: str, images: ImageSource, mirror: bool) -> Path:
        key = f"{weights} {backbone.image_size} {images.fingerprint()} {mirror}"
        return cache_dir / f"{backbone.name}-{backbone.image_size}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.npy"

    files = _extract_all(dataset, backbone, file_of, mirrored, strategy, progress)
    database, query = mapped(files["database"]), mapped(files["query"])
    rows = _rows_of(dataset.train.ids, dataset.database.ids)
    train = mapped(files["train"]) if "train" in files else _taken(database, rows)
    flipped = mapped(files["train_mirrored"]) if mirrored else None
    return dataset.replace(
        train=dataset.train.with_features(train, flipped),
        query=dataset.query.with_features(query),
        database=dataset.database.with_features(database),
        notes={**dataset.notes, "features": {"backbone": backbone.name, "dim": backbone.dim}},
    )


def write_features(
    dataset: RetrievalDataset,
    backbone: Backbone,
    folder: Path,
    facts: Mapping[str, Any],
    mirrored: bool = True,
    strategy: tf.distribute.Strategy | None = None,
    progress: bool = True,
) -> bool:
    """Writes `folder` with the features of all splits; returns whether it was written before.

    `train.npy`, `train_mirrored.npy` (with `mirrored`), `query.npy`, `database.npy`: float32 [n, dim], with
    `allow_pickle=False` and memory-mappable; the same rows' ids next to them in `<part>_ids.npy`; `features.json` with
    `facts`, the backbone, its image size, dim and fingerprint, and the rows of each split. The folder has another name
    until it is whole; what a stopped extraction finished there is used again. Raises InputError if `folder` holds
    anything else, and as `with_features`.
    """
    folder = expanded(folder)
    summary = {
        **facts,
        "backbone": backbone.name,
        "image_size": backbone.image_size,
        "dim": backbone.dim,
        "fingerprint": backbone.fingerprint(),
        "mirrored": mirrored,
        "rows": {part: len(getattr(dataset, part)) for part in _PARTS},
    }
    summary = json.loads(json.dumps(summary))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        before = read_summary(folder)
        for name in sorted(set(before) | set(summary)):
            if before.get(name) != summary.get(name):
                raise InputError(
                    f"{folder / SUMMARY}: {name}: found {before.get(name)!r}, expected {summary.get(name)!r}; "
                    "choose another folder"
                )
        return True
    _check_has_images(dataset)
    ids = {part: getattr(dataset, part).ids for part in _PARTS}
    key = json.dumps([summary, *(getattr(dataset, part).images.fingerprint() for part in _PARTS)])
    partial = folder.absolute().with_name(f".{folder.name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}")

    def file_of(part: str, images: ImageSource, mirror: bool) -> Path:
        return partial / f"{part}{'_mirrored' if mirror else ''}.npy"

    files = _extract_all(dataset, backbone, file_of, mirrored, strategy, progress)
    if "train" not in files:
        database, rows = mapped(files["database"]), _rows_of(ids["train"], ids["database"])
        blocks = (database[rows[first : first + _BLOCK]] for first in range(0, len(rows), _BLOCK))
        _write_rows(partial / "train.npy", blocks, (len(rows), backbone.dim))
    with writing(folder):
        for part in _PARTS:
            np.save(partial / f"{part}_ids.npy", ids[part], allow_pickle=False)
        (partial / SUMMARY).write_text(json.dumps(summary, indent=1) + "\n")
    if folder.exists():  # an empty folder that was made beforehand
        folder.rmdir()
    partial.replace(folder)
    return False


def read_summary(folder: Path) -> dict[str, Any]:
    """Reads `features.json` of a folder that `write_features` made. Raises InputError if it is not such a file."""
    file = expanded(folder) / SUMMARY
    check_regular(file, "a folder that extract_features has finished")
    found = read_json(file, "a folder that extract_features has finished")
    for name, kind in (("backbone", str), ("image_size", int), ("dim", int), ("mirrored", bool)):
        value = found.get(name)
        if not isinstance(value, kind) or (kind is int and (isinstance(value, bool) or int(value) < 1)):
            raise InputError(f"{file}: {name}: found {value!r}, expected {kind.__name__}")
    return found


def read_features(dataset: RetrievalDataset, folder: Path, missing_ok: bool = False) -> RetrievalDataset:
    """The data set with the features of a folder that `write_features` made; its images, if any, are not looked at.

    The files stay on disk as memory maps, read through once for values that are not finite; rows in a different order than
    the data set's are put into its order, in memory. Raises InputError with file, field, what was found and expected:
    a file that is missing, truncated, of a different shape, or with NaN or infinity; ids of the split that are not there, which
    with `missing_ok` are left out and counted as bad images, unless no row of a part is left.
    """
    folder = expanded(folder)
    summary = read_summary(folder)
    found: dict[str, Split] = {}
    missing: dict[str, int] = {}
    for part in _PARTS:
        split: Split = getattr(dataset, part)
        ids_file = folder / f"{part}_ids.npy"
        ids = _array(ids_file)
        if ids.ndim != 1 or ids.dtype.kind != "U":
            raise InputError(f"{ids_file}: found {ids.dtype} {list(ids.shape)}, expected text [n]")
        rows = _rows_of(split.ids, ids)
        missing[part] = int((rows < 0).sum())
        if missing[part] == len(rows) or (missing[part] and not missing_ok):
            first = split.ids[np.flatnonzero(rows < 0)[0]]
            seed = summary.get("split_seed")
            raise InputError(
                f"{ids_file}: found no {first} ({missing[part]:,} of the {len(split):,} {part} rows are missing), "
                f"expected the ids of this split of {dataset.name}; the folder's is of {summary.get('dataset')}, split_seed {seed}"
            )
        names = (part, "train_mirrored") if part == "train" and summary["mirrored"] else (part,)
        matrices = [_feature_rows(folder / f"{name}.npy", ids, summary["dim"]) for name in names]
        split, rows = (split.take(rows >= 0), rows[rows >= 0]) if missing[part] else (split, rows)
        found[part] = split.with_features(*(_taken(matrix, rows) for matrix in matrices))
    notes = {**dataset.notes, "features": {name: summary[name] for name in ("backbone", "dim")}}
    return dataset.replace(**found, notes={**notes, "bad_images": missing} if missing_ok else notes)


def _feature_rows(file: Path, ids: np.ndarray, dim: int) -> np.ndarray:
    values = _array(file)
    if values.dtype != np.float32 or values.shape != (len(ids), dim):
        raise InputError(f"{file}: found {values.dtype} {list(values.shape)}, expected float32 [{len(ids)}, {dim}]")
    check_finite(values, ids, str(file))
    return values


def _array(file: Path) -> np.ndarray:
    """The array of a `.npy` file, mapped. Raises InputError if it is missing, truncated or none."""
    check_regular(file, "an array of extract_features")
    return mapped(file)


def _rows_of(wanted: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """int64: the row of each wanted id among `ids`, -1 if it is not there."""
    if np.array_equal(wanted, ids):
        return np.arange(len(ids))
    place = {name: row for row, name in enumerate(ids.tolist())}
    return np.array([place.get(name, -1) for name in wanted.tolist()], np.int64)


def _taken(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The rows, in memory; the array itself if they are all of its rows in order."""
    if len(rows) == len(values) and (rows == np.arange(len(rows))).all():
        return values
    return np.asarray(values[rows])


def _check_has_images(dataset: RetrievalDataset) -> None:
    if not dataset.has_images:
        raise InputError(f"{dataset.name}: found labels only, expected images to extract features from")


def _extract_all(
    dataset: RetrievalDataset,
    backbone: Backbone,
    file_of: Callable[[str, ImageSource, bool], Path],
    mirrored: bool,
    strategy: tf.distribute.Strategy | None,
    progress: bool,
) -> dict[str, Path]:
    """Extracts what is not there yet and returns the files, by name.

    If every training row is also in the database, the file "train" is left out.
    """
    _check_has_images(dataset)
    jobs = [("database", dataset.database, False), ("query", dataset.query, False)]
    if (_rows_of(dataset.train.ids, dataset.database.ids) < 0).any():
        jobs.append(("train", dataset.train, False))
    if mirrored:
        jobs.append(("train", dataset.train, True))
    files: dict[str, Path] = {}
    forward: TrunkFeatures | None = None
    for part, split, mirror in jobs:
        images = split.images
        assert images is not None  # checked above
        file = file_of(part, images, mirror)
        files[f"{part}_mirrored" if mirror else part] = file
        if file.is_file():
            logging.info("features of %s: reusing %s", part, file)
            continue
        title = f"features of {part}{', mirrored' if mirror else ''}"
        forward = forward or TrunkFeatures(backbone, strategy)
        blocks = forward(images, mirror, title, progress)
        _write_rows(file, _finite(blocks, split.ids, f"{title} by {backbone.name}"), (len(split), backbone.dim))
    return files


class TrunkFeatures:
    """A frozen backbone as a function of images.

    Args:
        backbone: The network.
        strategy: Devices; None takes the strategy in scope.
        batch: Images in a forward pass; fewer are padded to this number.
    """

    def __init__(self, backbone: Backbone, strategy: tf.distribute.Strategy | None = None, batch: int = _BATCH) -> None:
        import tensorflow as tf  # only here: reading features needs none of it

        from dseh_tf.devices.replicas import RowStream

        self.image_size, self._batch = backbone.image_size, batch
        self._forward = RowStream(
            strategy or tf.distribute.get_strategy(),
            lambda x: {"features": backbone.model(tf.cast(x, tf.float32), training=False)},
        )

    def __call__(
        self, images: ImageSource, mirror: bool = False, title: str = "", progress: bool = False
    ) -> Iterator[np.ndarray]:
        """Yields the features of all images, or of the mirrored ones, float32 [b, dim], batch by batch."""
        batches = image_batches(images, self.image_size, self._batch)
        shown = tqdm(batches, title, total=-(-len(images) // self._batch), unit="batch", disable=not progress)
        turned = (batch[:, :, ::-1] if mirror else batch for batch in shown)
        for outputs in self._forward(turned, self._batch):
            yield outputs["features"].astype(np.float32)


def _finite(blocks: Iterable[np.ndarray], ids: np.ndarray, what: str) -> Iterator[np.ndarray]:
    """The blocks as they come. Raises InputError at the first image with a feature that is not finite, naming it."""
    first = 0
    for block in blocks:
        bad = ~np.isfinite(block)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise InputError(
                f"{what}: found {block[row, column]} for image {ids[first + row]}, expected finite numbers"
            )
        yield block
        first += len(block)


def _write_rows(file: Path, blocks: Iterable[np.ndarray], shape: tuple[int, int]) -> None:
    """Writes blocks of rows to a `.npy` memory map as they come."""
    with new_array(file, shape, np.float32, "features") as rows:
        done = 0
        for block in blocks:
            rows[done : done + len(block)] = block
            done += len(block)
