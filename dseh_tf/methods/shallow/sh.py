"""SH: spectral hashing, sinusoids along the principal directions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dseh_tf.data import RetrievalDataset
from dseh_tf.encoding.shallow import Sinusoids
from dseh_tf.methods.base import Method
from dseh_tf.methods.shallow.base import Preparation, ShallowFitted, principal_directions, shallow_fitted, training_rows


@dataclass(frozen=True)
class SHSettings:
    """normalise: rows to unit length before centring."""

    normalise: bool = True


class SH(Method):
    """The K analytical eigenfunctions of smallest eigenvalue on the principal directions, each along one direction.

    Weiss et al., NIPS 2008, sec. 3, as in willard-yuan/hashing-baseline-for-image-retrieval:Method-SH. With fewer
    principal directions than bits the bits come from higher frequencies along the directions there are.
    """

    name = "sh"
    Settings = SHSettings

    def fit(self, dataset: RetrievalDataset, runtime=None) -> ShallowFitted:
        """Principal directions and ranges of the training rows, then the K lowest frequencies."""
        train = training_rows(dataset)
        preparation = Preparation(train, self.settings.normalise)
        directions, _ = principal_directions(train, preparation, self.bits)
        projected = preparation.projected(train, directions)
        lowest, span = projected.min(axis=0), np.ptp(projected, axis=0)
        modes = sinusoid_modes(span, self.bits)
        frequency = np.pi * modes[:, 1] / span[modes[:, 0]]
        arrays = {"directions": directions, "lowest": lowest, "direction": modes[:, 0], "frequency": frequency}
        fitted = shallow_fitted(dataset.train, preparation, Sinusoids, **arrays)
        if directions.shape[1] < self.bits:
            fitted.note(
                f"{self.bits} bits from {directions.shape[1]} principal directions, all the training rows have: "
                "higher frequencies along them fill the code"
            )
        fitted.learned = {"modes": modes, "span": span}
        return fitted


def sinusoid_modes(span: np.ndarray, bits: int) -> np.ndarray:
    """int64 [bits, 2]: (direction, mode) of the bits lowest frequencies omega = mode pi / span, mode >= 1.

    span: float [p], range of the training rows along each direction, all positive. A direction offers modes up to
    ceil((bits + 1) span / max span) - 1, so the widest alone offers enough. Equal frequencies keep the direction's
    order.
    """
    offered = np.ceil((bits + 1) * span / span.max()).astype(int)
    modes = np.array([(d, mode) for d, most in enumerate(offered) for mode in range(1, most)], dtype=np.int64)
    order = np.argsort((modes[:, 1] / span[modes[:, 0]]) ** 2, kind="stable")
    return modes[order[:bits]]
