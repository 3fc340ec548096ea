"""The text encoder of a cross-modal method: from text rows or words to codes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy import sparse

from dseh_tf.data import Split
from dseh_tf.data.files import is_there, read_bytes
from dseh_tf.data.texts import as_vocabulary, dense_blocks, query_row, text_rows
from dseh_tf.devices.divided import divided_codes
from dseh_tf.devices.replicas import RowStream
from dseh_tf.devices.runtime import Runtime
from dseh_tf.encoding.network import load_network
from dseh_tf.errors import InputError
from dseh_tf.files import replacing, write_text
from dseh_tf.retrieval import sign

TEXT_NETWORK, VOCABULARY = "txtnet.keras", "vocabulary.txt"


class TextEncoder:
    """A text network as an encoder.

    Args:
        network: From float32 [b, t] to {"logits": [b, K]}.
        vocabulary: The words of the columns; () if they are not known.
        runtime: Devices, and rows a forward pass.
    """

    def __init__(self, network: keras.Model, vocabulary: Sequence[str] = (), runtime: Runtime | None = None) -> None:
        self.network, self.width = network, int(network.input_shape[1])
        self.vocabulary = as_vocabulary(vocabulary, self.width)
        self.runtime = Runtime(progress=False) if runtime is None else runtime
        self._forward = RowStream(self.runtime.strategy, lambda x: network(x, training=False))

    @cached_property
    def bits(self) -> int:
        """Code length K."""
        return int(self.network(keras.KerasTensor(self.network.input_shape))["logits"].shape[-1])

    def encode(self, texts: Any) -> np.ndarray:
        """int8 ±1 [n, K] of texts as in `values`. The workers of a run divide the rows, and each of them gets all codes."""
        workers = self.runtime.workers
        if workers.count == 1:
            return np.concatenate([sign(values) for values in self.values(texts)])
        rows = self._rows(texts)

        def encode(part: slice) -> np.ndarray:
            return np.concatenate([sign(values) for values in self.values(rows[part])])

        return divided_codes(workers, rows.shape[0], self.runtime.encode_batch, encode)

    def encode_words(self, lines: Sequence[str]) -> np.ndarray:
        """int8 ±1 [n, K] of strings of words, separated by white space.

        Raises InputError on a word outside the vocabulary, and if there is no vocabulary.
        """
        if not self.vocabulary:
            raise InputError("text: found texts without a vocabulary, expected a data set that names its words")
        if not lines:
            raise InputError("text: found none, expected at least one")
        return self.encode(sparse.vstack([query_row(line, self.vocabulary) for line in lines], format="csr"))

    def values(self, texts: Any) -> Iterator[np.ndarray]:
        """Yields the real-valued outputs before the sign, float32 [b, K].

        Args:
            texts: A split with texts, or text rows [n, t], sparse or dense.

        Raises:
            InputError: No row, a split without texts, a different width than in training, values that are not finite.
        """
        rows, size = self._rows(texts), self.runtime.encode_batch
        return (outputs["logits"] for outputs in self._forward(dense_blocks(rows, size), size))

    def _rows(self, texts: Any) -> sparse.csr_array:
        """Text rows [n, t], checked."""
        rows = texts.texts if isinstance(texts, Split) else text_rows(texts)
        if rows is None:
            raise InputError("texts: found none, expected those of the data set the network was trained on")
        if not rows.shape[0]:
            raise InputError("encoded texts: found none, expected at least one")
        if rows.shape[1] != self.width:
            raise InputError(f"texts: found {rows.shape[1]} columns, expected {self.width}, as in training")
        return rows

    def save(self, folder: Path) -> None:
        """Writes the network and the vocabulary, one word per line, to a folder."""
        with replacing(folder / TEXT_NETWORK) as partial:
            self.network.save(partial)
        if self.vocabulary:
            write_text(folder / VOCABULARY, "".join(f"{word}\n" for word in self.vocabulary))


def load_text_encoder(folder: Path) -> TextEncoder | None:
    """What `TextEncoder.save` wrote, or None if the folder has no text network. Raises InputError on damaged files."""
    file, words = folder / TEXT_NETWORK, folder / VOCABULARY
    if not is_there(file):
        return None
    network = load_network(file)
    if len(network.inputs or ()) != 1 or len(network.inputs[0].shape) != 2:
        raise InputError(f"{file}: found a network with a different input, expected one with text rows")
    vocabulary: list[str] = []
    if is_there(words):
        try:
            vocabulary = read_bytes(words, "a word a line").decode().splitlines()
        except UnicodeDecodeError:
            raise InputError(f"{words}: found bytes that are not UTF-8, expected one word per line") from None
    try:
        return TextEncoder(network, vocabulary)
    except InputError as error:
        raise InputError(f"{words}: {error}") from None
