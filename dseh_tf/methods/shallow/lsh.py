"""LSH: signs of random projections, the baseline that learns nothing but the mean."""

from __future__ import annotations

from dataclasses import dataclass

from dseh_tf.data import RetrievalDataset
from dseh_tf.encoding.shallow import Projection
from dseh_tf.methods.base import Method
from dseh_tf.methods.shallow.base import Preparation, ShallowFitted, random_stream, shallow_fitted, training_rows


@dataclass(frozen=True)
class LSHSettings:
    """normalise: rows to unit length before centring."""

    normalise: bool = True


class LSH(Method):
    """b = sign(x W), W of N(0, 1), x centred by the training mean.

    Charikar, STOC 2002: two rows at angle t differ in a bit with probability t / pi. Source of the settings:
    willard-yuan/hashing-baseline-for-image-retrieval:Method-LSH. A single draw varies much: average over seeds.
    """

    name = "lsh"
    Settings = LSHSettings

    def fit(self, dataset: RetrievalDataset, runtime=None) -> ShallowFitted:
        """Takes the mean of the training rows; the directions depend on the seed alone."""
        preparation = Preparation(training_rows(dataset), self.settings.normalise)
        directions = random_stream(self.seed).standard_normal((preparation.width, self.bits))
        fitted = shallow_fitted(dataset.train, preparation, Projection, weights=directions)
        fitted.learned["directions"] = directions
        return fitted
