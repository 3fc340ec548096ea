"""Writes files for TensorBoard's projector: features with their labels and pictures. No checkpoint is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from dseh_tf.data.thumbnails import sprite
from dseh_tf.files import replacing, write_text

METADATA, SPRITE, CONFIG = "projector_labels.tsv", "projector_sprite.png", "projector_config.pbtxt"


def write_projector(
    folder: Path,
    features: Mapping[str, np.ndarray],
    ids: Sequence[str],
    labels: Sequence[str],
    images: np.ndarray | None = None,
) -> None:
    """Writes the files of the projector for a TensorBoard that is started on `folder`.

    Args:
        folder: The folder of the event files.
        features: By name, floats [n, d].
        ids: Ids of the rows, n.
        labels: Labels of the rows, n.
        images: uint8 [n, s, s, 3], or None.
    """
    from tensorboard.plugins.projector import ProjectorConfig

    config = ProjectorConfig()
    lines = ["label\tid", *(f"{_cell(label)}\t{_cell(name)}" for label, name in zip(labels, ids, strict=True))]
    write_text(folder / METADATA, "\n".join(lines) + "\n")
    if images is not None:
        with replacing(folder / SPRITE) as partial:
            Image.fromarray(sprite(images)).save(partial, format="PNG")
    for name, values in features.items():
        # Text: the projector takes a binary file for text if its bytes are valid UTF-8, as those of zeros are.
        rows = ("\t".join(f"{value:.5g}" for value in row) for row in values.astype(np.float64).tolist())
        write_text(folder / f"projector_{name}.tsv", "\n".join(rows) + "\n")
        embedding = config.embeddings.add()
        embedding.tensor_name = name
        embedding.tensor_path = f"projector_{name}.tsv"
        embedding.tensor_shape.extend(values.shape)
        embedding.metadata_path = METADATA
        if images is not None:
            embedding.sprite.image_path = SPRITE
            embedding.sprite.single_image_dim.extend(images.shape[2:0:-1])
    write_text(folder / CONFIG, str(config))


def _cell(text: str) -> str:
    """One line without a tab."""
    return " ".join(str(text).split()) or "-"
