"""The encoder of a finished run: from images to codes, through the backbone that config.json names.

    from dseh_tf import load_run
    codes = load_run("runs/x").encode(["a.jpg", array])

TensorFlow is loaded only if the run has a network or a frozen backbone, and not before it is needed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dseh_tf.data import Split
from dseh_tf.data.files import expanded
from dseh_tf.encoding import saved, shallow
from dseh_tf.encoding.inputs import ResizedImages, split_of
from dseh_tf.encoding.known_codes import with_known_parts
from dseh_tf.encoding.protocol import Encoder
from dseh_tf.encoding.trunk import Trunk, check_trunk_files, frozen_trunk, moved_trunk, trunk_of
from dseh_tf.errors import InputError, positive
from dseh_tf.files import replacing, write_text
from dseh_tf.retrieval import codes_path, has_codes, load_codes, sign, unpack
from dseh_tf.runs import read_config

if TYPE_CHECKING:
    from dseh_tf.encoding.features import TrunkFeatures
    from dseh_tf.encoding.text import TextEncoder
    from dseh_tf.models.backbones import Backbone

NETWORK, ARRAYS = "imgnet.keras", "encoder.npz"  # what a trained method leaves in a run folder, and a shallow one
BACKBONE = "backbone.keras"  # a frozen backbone, where `RunEncoder.save` put it
_KEPT = ("dataset", "method", "bits", "seed", "settings", "trunk", "trunk_files", "features", "tf32")  # of config.json
_BLOCK_ROWS = shallow.BLOCK_ROWS  # number of images whose features are in memory at a time


class RunEncoder:
    """Images, or features of the run's backbone, to codes.

    Attributes:
        config: The content of config.json.
        bits: Code length K.
        trunk: The network below the method's own part.
        encoder: The method's own part.
        held: The file of a frozen backbone in the run folder; None if config.json says where it is.
        codes_file: The codes of the run's query and database.
        texts: The text encoder of a cross-modal method; None elsewhere.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        trunk: Trunk,
        encoder: Encoder,
        held: Path | None = None,
        codes_file: Path | None = None,
        batch: int | None = None,
    ) -> None:
        self.config, self.trunk, self.encoder, self.held = config, trunk, encoder, held
        self.codes_file, self._batch = codes_file, batch
        self.bits: int = config["bits"]
        self._features: TrunkFeatures | None = None
        self.texts: TextEncoder | None = None

    def encode_texts(self, texts: Any) -> np.ndarray:
        """int8 ±1 [n, K] of texts, by the text encoder of a cross-modal run.

        Args:
            texts: A list of strings, each of words separated by white space; or text rows [n, t], sparse or dense; or a Split.

        Raises:
            InputError: The run has no text encoder; a word outside its vocabulary; rows of a different width.
        """
        if self.texts is None:
            raise InputError(f"text: found a run of {self.config.get('method')}, expected one of a cross-modal method")
        words = isinstance(texts, (list, tuple)) and all(isinstance(line, str) for line in texts)
        return self.texts.encode_words(texts) if words else self.texts.encode(texts)

    def encode(self, items: Any) -> np.ndarray:
        """Returns codes int8 ±1 [n, K]; `dseh_tf.retrieval.pack` packs them to uint8 [n, ceil(K / 8)]. No labels are
        needed.

        Args:
            items: A list of paths and images uint8 [height, width, 3], RGB, mixed and of any sizes; or an array of images
                uint8 [n, height, width, 3]; or features of the run's backbone, floating, [n, d]; or a Split, whose features
                are taken if it has them. Images are resized as the run's were.

        Raises:
            InputError: Anything else; a file that is not an image; features of a different width, or not finite; a backbone that
                is not where it was, or is another one.
        """
        return np.concatenate([sign(values) for values in self.blocks(items)])

    def encode_database(self, split: Split) -> np.ndarray:
        """int8 ±1 [n, K] of database rows: the run's codes of rows that it has, by id, and those of `encode` for others.

        The run of an asymmetric method has learned the codes of its database. Rows that came later have none.

        Args:
            split: The rows, with images or features unless all of them belong to the run.

        Raises:
            InputError: The run has no codes.npz, or a row of its database now has other labels; also as `encode` does.
        """
        if self.codes_file is None:
            raise InputError(
                "encode_database: found a run without codes.npz, expected one with the codes of its database"
            )
        stored = load_codes(self.codes_file, self.bits)
        same_classes = split.classes == stored.database_labels.shape[1]

        def known() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for ids, labels, codes in stored.pieces("database_ids", "database_labels", "database_codes"):
                if same_classes:
                    self._check_labels(split, ids, labels)
                yield ids, unpack(codes, self.bits)

        return with_known_parts(split, known(), self.bits, self.encode)

    def _check_labels(self, split: Split, ids: np.ndarray, labels: np.ndarray) -> None:
        """Raises InputError if a row of the split has other labels than the database row of its id."""
        of_id = dict(zip(ids.tolist(), labels, strict=True))
        for name, row in zip(split.ids.tolist(), split.labels, strict=True):
            if name in of_id and not np.array_equal(of_id[name], row):
                raise InputError(
                    f"{self.codes_file}: found other labels of {name} than in the database, expected those that its "
                    "code was learned from"
                )

    def outputs(self, items: Any) -> np.ndarray:
        """The real values [n, K] whose signs are the codes. Takes the same arguments and raises the same errors as `encode`."""
        return np.concatenate(list(self.blocks(items)))

    def save(self, folder: Path | str) -> None:
        """Writes a folder that `load_run` reads on any machine: the encoder with its frozen backbone.

        Args:
            folder: A new or empty folder.

        Raises:
            InputError: The folder is not empty, or the backbone is missing or a different one.
        """
        folder = expanded(Path(folder))
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder}: found files, expected a new or empty folder")
        backbone = self.backbone() if self.trunk.kind == "features" else None
        folder.mkdir(parents=True, exist_ok=True)
        if backbone is not None:
            with replacing(folder / BACKBONE) as partial:
                backbone.model.save(partial)
        self.encoder.save(folder / (ARRAYS if isinstance(self.encoder, shallow.ShallowEncoder) else NETWORK))
        if self.texts is not None:
            self.texts.save(folder)
        kept = {name: self.config[name] for name in _KEPT if name in self.config}
        write_text(folder / "config.json", json.dumps(kept, indent=1) + "\n")

    def backbone(self) -> Backbone:
        """The frozen backbone: of the run folder, or made again as config.json says."""
        if self.held is None:
            return frozen_trunk(self.config, self.trunk)
        from dseh_tf.encoding.network import load_network
        from dseh_tf.models.backbones import Backbone

        size = self.trunk.image_size
        model = load_network(self.held)
        if getattr(model, "input_shape", None) != (None, size, size, 3) or len(model.output_shape) != 2:
            raise InputError(
                f"{self.held}: found a different network, expected one that maps images of {size} pixels to a vector"
            )
        return Backbone(self.trunk.backbone, model, size, pretrained=True, trained=False)

    def blocks(self, items: Any) -> Iterator[np.ndarray]:
        """Yields what `outputs` returns, block by block."""
        split = split_of(items)
        if split.features is None and split.images is not None:
            if self.trunk.kind == "features":
                for block in self._feature_blocks(split):
                    yield from self.encoder.values(block)
                return
            shape = getattr(self.encoder, "image_shape", None)
            if shape is not None:
                split = replace(split, images=ResizedImages(split.images, shape))
        yield from self.encoder.values(split)

    def _feature_blocks(self, split: Split) -> Iterator[Split]:
        """Yields the rows with features instead of images."""
        from dseh_tf.encoding.features import TrunkFeatures

        if self._features is None:
            backbone = self.backbone()
            self._features = TrunkFeatures(backbone, **({} if self._batch is None else {"batch": self._batch}))
        for start in range(0, len(split), _BLOCK_ROWS):
            rows = split.take(np.arange(start, min(start + _BLOCK_ROWS, len(split))))
            assert rows.images is not None
            yield replace(rows, images=None, features=np.concatenate(list(self._features(rows.images))))


def encoder_file(folder: Path | str, config: Mapping[str, Any] | None = None) -> Path:
    """The path of a run's saved encoder, found without TensorFlow. Raises InputError if the run has none."""
    folder = Path(folder)
    for name in (NETWORK, ARRAYS):
        if (folder / name).is_file():
            return folder / name
    config = config or {}
    why = ""
    if config.get("phases") == "labnet":
        why = " (the run trained on labels alone)"
    elif (folder / "result.json").is_file():
        why = f" (a run of {config.get('method')} by an earlier version, or a method without a saved encoder)"
    raise InputError(f"{folder}: found neither {NETWORK} nor {ARRAYS}{why}, expected the encoder of a finished run")


def load_run(
    folder: Path | str, backbone: Path | str | None = None, import_modules: Sequence[str] = (), batch: int | None = None
) -> RunEncoder:
    """Loads the encoder of a finished run.

    Args:
        folder: The run folder, or one that `RunEncoder.save` wrote.
        backbone: The file of the run's frozen backbone or its weights, if it is no longer at the path in config.json.
        import_modules: Modules that register the layer classes of a `.keras` backbone; imported first.
        batch: Number of images in a forward pass; smaller batches are padded. Default: as in the run's own encoding.
            Use 1 to encode single images without padding. The order of sums then differs, which may change the last
            bits of real-valued outputs.

    Returns:
        An object with `encode(items)`.

    Raises:
        InputError: The folder has no run with an encoder, a file in it is damaged, or the backbone is not that of the
            run.

    Example:
        >>> load_run("runs/x").encode(["a.jpg", np.zeros((48, 48, 3), np.uint8)]).shape
        (2, 32)
    """
    folder = expanded(Path(folder))
    file = encoder_file(folder, read_config(folder))
    config = read_config(folder, ("bits", "seed", "trunk"))
    trunk = trunk_of(config)
    if backbone is not None:
        if trunk.kind != "features":
            raise InputError(
                f"backbone: found {backbone}, but {file.name} of this run holds its backbone, expected none"
            )
        trunk = moved_trunk(config, trunk, expanded(Path(backbone)))
        check_trunk_files(config, trunk)
    if import_modules:
        from dseh_tf.models.backbones.keras_file import import_modules as imported

        imported(import_modules)
    if file.name == NETWORK or trunk.kind == "features":
        from dseh_tf.devices.runtime import float32_products

        float32_products(bool(config.get("tf32")))
    batch = None if batch is None else positive(batch, "batch")
    encoder = load_encoder(file, batch)
    if encoder.bits != config["bits"]:
        raise InputError(f"{file}: found {encoder.bits} bits, expected {config['bits']} as in config.json")
    held = folder / BACKBONE
    found = RunEncoder(
        config, trunk, encoder, held if backbone is None and held.is_file() else None,
        codes_path(folder) if has_codes(folder) else None, batch,
    )  # fmt: skip
    if file.name == NETWORK:
        from dseh_tf.encoding.text import load_text_encoder

        found.texts = load_text_encoder(folder)
        if found.texts is not None and batch is not None:
            found.texts.runtime = replace(found.texts.runtime, encode_batch=batch)
    return found


def load_encoder(file: Path | str, batch: int | None = None) -> Encoder:
    """What the `save` of a fitted method wrote, by its suffix: `.npz` of a shallow method, `.keras` of a network.

    Raises:
        InputError: A file that is missing or damaged, or holds something else.
    """
    file = expanded(Path(file))
    if file.suffix != ".keras":
        return saved.load(file)
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.encoding.network import NetworkEncoder, load_network

    network = load_network(file)
    if len(network.inputs or ()) != 1 or len(network.inputs[0].shape) not in (2, 4):
        raise InputError(f"{file}: found a network with a different input, expected one with images or features")
    size = network.inputs[0].shape[1] if len(network.inputs[0].shape) == 4 else None
    runtime = Runtime(progress=False)
    encoder = NetworkEncoder(network, size, runtime if batch is None else replace(runtime, encode_batch=batch))
    if not encoder.bits:
        raise InputError(f"{file}: found a network without the output 'logits', expected the network of a run")
    return encoder
