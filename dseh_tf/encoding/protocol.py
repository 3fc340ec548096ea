"""The interface of the part of an encoder that a method provides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from dseh_tf.data import Split


class Encoder(Protocol):
    """The encoder that a method provides: `ShallowEncoder` or `NetworkEncoder`."""

    @property
    def bits(self) -> int: ...

    def values(self, split: Split) -> Iterator[np.ndarray]:
        """Yields the real-valued outputs before the sign, [b, K]."""
        ...

    def save(self, path: Path) -> None:
        """Writes one file that `load_encoder` reads."""
        ...
