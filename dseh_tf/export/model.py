"""A common interface to run folders and exports: from images to packed codes."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dseh_tf.data import ArrayImages
from dseh_tf.data.files import expanded
from dseh_tf.data.pixels import image_batches
from dseh_tf.encoding import RunEncoder, load_run
from dseh_tf.encoding.inputs import split_of
from dseh_tf.errors import InputError
from dseh_tf.export import description, runtimes
from dseh_tf.export.identity import FLOAT32, about
from dseh_tf.retrieval import pack, sign

BATCH = 64


class Model(abc.ABC):
    """Images to codes.

    Attributes:
        folder: The export or the run folder.
        bits: Code length K.
        about: What identifies the encoder, as `dseh_tf.export.about`; with `encoder` where that is not "float32".
        encoder: "float32", "litert_float16" or "litert_int8".
        image_size: (height, width) that images are resized to.
        class_names: Names of the data set's classes; empty if they are not known.
    """

    folder: Path
    bits: int
    about: dict[str, Any]
    encoder: str = FLOAT32
    class_names: Sequence[str] = ()

    @property
    @abc.abstractmethod
    def image_size(self) -> tuple[int, int]: ...

    @abc.abstractmethod
    def batch(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Packed codes uint8 [n, ceil(K / 8)] and logits float32 [n, K] of images uint8 [n, *image_size, 3]."""

    def encode(self, items: Any) -> np.ndarray:
        """Packed codes uint8 [n, ceil(K / 8)], in the bit order of codes.npz.

        Args:
            items: As `RunEncoder.encode` takes them; an export takes no features. Images are resized as the run's were.

        Raises:
            InputError: Anything else; a file that is not an image; logits that are not finite.
        """
        return np.concatenate([code for code, _ in self.outputs(items)])

    def logits(self, items: Any) -> np.ndarray:
        """The real values [n, K] whose signs are the codes. Takes the same arguments and raises the same errors as `encode`."""
        return np.concatenate([logits for _, logits in self.outputs(items)])

    @abc.abstractmethod
    def outputs(self, items: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields packed codes and logits, block by block. Takes the same arguments and raises the same errors as `encode`."""


class ExportedModel(Model):
    """The model of a folder that `export_run` wrote.

    Args:
        folder: The folder. Its files are compared with the digests in `model.json`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.description = description.read(folder)
        description.check_files(folder, self.description)
        self.bits, self.encoder = self.description["bits"], self.description["encoder"]
        self.about, self.class_names = self.description["about"], self.description["class_names"]
        model = description.model_path(folder, self.description)
        self._run = runtimes.load(model, self.description["model_format"])

    @property
    def image_size(self) -> tuple[int, int]:
        height, width = self.description["image_size"]
        return height, width

    def batch(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._run(ArrayImages(images).array)

    def outputs(self, items: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        split = split_of(items)
        if split.images is None:
            raise InputError(f"items: found features, but {self.folder} takes images only, expected images")
        done = 0
        for images in image_batches(split.images, self.image_size, BATCH):
            code, logits = self._run(images)
            bad = ~np.isfinite(logits).all(axis=1)
            if bad.any():
                row = int(bad.argmax())
                raise InputError(
                    f"{self.folder}: found logits that are not finite for {split.ids[done + row]}, expected numbers"
                )
            done += len(images)
            yield code, logits


class RunModel(Model):
    """The encoder of a run folder with the same interface."""

    def __init__(self, folder: Path, run: RunEncoder) -> None:
        self.folder, self.run, self.bits, self.about = folder, run, run.bits, about(run.config)

    @cached_property
    def image_size(self) -> tuple[int, int]:
        return image_shape(self.run)

    def batch(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        codes, logits = zip(*self.outputs(ArrayImages(images).array), strict=True)
        return np.concatenate(codes), np.concatenate(logits)

    def outputs(self, items: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for values in self.run.blocks(items):
            yield pack(sign(values)), values.astype(np.float32, copy=False)


def open_model(folder: Path | str, backbone: Path | str | None = None, import_modules: Sequence[str] = ()) -> Model:
    """Opens the encoder of an export or of a run.

    Args:
        folder: An export of any format, or the folder of a finished run.
        backbone: For a run, the file of its frozen backbone or its weights, if it has moved.
        import_modules: For a run, modules that register the layer classes of a `.keras` backbone.

    Returns:
        An object with `encode(items)`, `logits(items)`, `bits`, `about` and `image_size`.

    Raises:
        InputError: The folder is neither an export nor a run, a file is damaged, or the runtime is not installed.

    Example:
        >>> open_model("exports/x").encode(["a.jpg", np.zeros((300, 200, 3), np.uint8)]).shape
        (2, 4)
    """
    folder = expanded(Path(folder))
    if not description.is_export(folder):
        return RunModel(folder, load_run(folder, backbone, import_modules))
    if backbone is not None:
        raise InputError(
            f"backbone: found {backbone}, but {folder} is an export with its backbone inside, expected none"
        )
    return ExportedModel(folder)


def image_shape(run: RunEncoder) -> tuple[int, int]:
    """(height, width) of the images that a run's encoder reads. Raises InputError if it reads features alone."""
    if run.trunk.kind == "features":
        return run.trunk.image_size, run.trunk.image_size
    size, shape = (getattr(run.encoder, name, None) for name in ("image_size", "image_shape"))
    if size is not None:
        return size, size
    if shape is not None:
        return shape
    raise InputError(
        f"export: found a run of {run.config.get('method')} on features that were given without their backbone, expected "
        "a run on images, or on features of a backbone that config.json names"
    )
