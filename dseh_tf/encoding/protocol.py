"""What the encoder of a run needs of a method's own part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from dseh_tf.data import Split


class Encoder(Protocol):
    """What a method's own part is: `ShallowEncoder` or `NetworkEncoder`."""

    @property
    def bits(self) -> int: ...

    def values(self, split: Split) -> Iterator[np.ndarray]:
        """Yields the real values before their signs, [b, K]."""
        ...

    def save(self, path: Path) -> None:
        """Writes one file that `load_encoder` reads."""
        ...
