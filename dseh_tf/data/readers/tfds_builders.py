"""TFDS's builders: found by name, their image and label features, and their records prepared.

`import tensorflow_datasets` happens in the functions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from dseh_tf.data.files import expanded, is_folder
from dseh_tf.errors import InputError, refusal


def prepared_builder(name: str, data_dir: Path, source: str = "") -> Any:
    """TFDS's builder of `name` with its records under `data_dir`, prepared now where they are not yet.

    Arguments and errors are as in `find_builder` and `prepare`.
    """
    return prepare(find_builder(name, data_dir), name, data_dir, source)


def find_builder(name: str, data_dir: Path) -> Any:
    """TFDS's builder of `name`; nothing is downloaded or read. Raises InputError with TFDS's reason if it has none."""
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=expanded(data_dir))
    except Exception as error:  # a builder is code of its own, and raises what it likes
        logging.debug("TFDS", exc_info=True)
        raise InputError(f"dataset: TFDS cannot make {name!r}: {_first_line(error)}") from None


def image_and_label(builder: Any, name: str) -> tuple[str, str]:
    """The features that hold the image and the class label, known before anything is downloaded or read.

    They are the pair of `supervised_keys` (or "image" and "label") where those are an Image and a ClassLabel; otherwise
    the only Image and the only ClassLabel among the top-level features.

    Args:
        builder: of TFDS.
        name: of the data set, for messages.

    Raises:
        InputError: the pair begins with a video, or there is not exactly one Image of integers or one ClassLabel.
    """
    import tensorflow_datasets as tfds

    features = builder.info.features
    if not isinstance(features, tfds.features.FeaturesDict):
        found = "no features" if features is None else f"features {type(features).__name__}"
        raise InputError(f"dataset: {name} has {found}, expected an image and one class label")
    kinds = ", ".join(f"{key!r} ({type(feature).__name__})" for key, feature in features.items())
    keys = builder.info.supervised_keys or ("image", "label")
    pair = [key if isinstance(key, str) and key in features else None for key in (*keys, None, None)[:2]]
    first = features[pair[0]] if pair[0] else None
    if isinstance(first, tfds.features.Video):
        raise InputError(
            f"dataset: {name} has features {kinds}: found {pair[0]!r} first, a video, expected an image and one class label"
        )

    def is_image(feature: Any) -> bool:
        # A LabeledImage is a mask; an image of floats is stored as the bytes of its numbers.
        kind = isinstance(feature, tfds.features.Image) and not isinstance(feature, tfds.features.LabeledImage)
        return kind and np.issubdtype(feature.np_dtype, np.integer)

    def is_label(feature: Any) -> bool:
        return isinstance(feature, tfds.features.ClassLabel) and bool(feature.num_classes)

    def chosen(key: str | None, wanted: Any, what: str) -> str:
        if key is not None and wanted(features[key]):
            return key
        fitting = [other for other in features if wanted(features[other])]
        if len(fitting) == 1:
            return fitting[0]
        raise InputError(
            f"dataset: {name} has features {kinds}: found {len(fitting) or 'no'} {what}, expected an image and one class label"
        )

    return chosen(pair[0], is_image, "Image of integers"), chosen(pair[1], is_label, "ClassLabel with classes")


def prepare(builder: Any, name: str, data_dir: Path, source: str = "") -> Any:
    """Prepares the records of a builder under `data_dir`, if they are not there yet.

    Args:
        builder: Of TFDS.
        name: Name of the data set, for messages.
        data_dir: Where TFDS keeps data sets. Files that it cannot download are in `data_dir/downloads/manual`.
        source: Where the files come from, for the message. Default: TFDS's instructions for manual downloads.

    Returns:
        The builder.

    Raises:
        InputError: With TFDS's reason, if it cannot prepare them (a missing or cut-off archive, no network), and on
            records in a different format than TFRecord.
    """
    import tensorflow_datasets as tfds

    data_dir = expanded(data_dir)
    if not builder.info.splits:
        manual = data_dir / "downloads" / "manual"
        config = tfds.download.DownloadConfig(manual_dir=manual if is_folder(manual) else None)
        try:
            builder.download_and_prepare(download_dir=data_dir / "downloads", download_config=config)
        except Exception as error:  # whatever a download, an archive or a parser of TFDS raises is bad input here
            told = refusal(error)
            if told is not None:
                raise InputError(f"{told} ({builder.data_dir}: TFDS could not prepare {name!r})") from None
            logging.debug("TFDS", exc_info=True)
            advice = source or " ".join((builder.MANUAL_DOWNLOAD_INSTRUCTIONS or "").split())
            raise InputError(
                f"{builder.data_dir}: not there, and TFDS could not prepare {name!r} (files to be put by hand belong in "
                f"{manual}): {type(error).__name__}: {_first_line(error)}{f'; {advice}' if advice else ''}"
            ) from None
    if builder.info.file_format.value != "tfrecord":
        raise InputError(f"{builder.data_dir}: found {builder.info.file_format.value} files, expected tfrecord")
    return builder


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "no reason given").rstrip(": ")
