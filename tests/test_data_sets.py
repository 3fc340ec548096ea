"""Every data set of the paper on a miniature in its official format: its split, a few steps of DSEH, and codes that
belong to their images in any order, from a cache, after a resume, and on two replicas."""

from __future__ import annotations

import numpy as np
import pytest

from dseh_tf.data import catalog
from dseh_tf.data.check_split import check_split
from dseh_tf.data.pixels import load_pixels
from tests.data import miniatures

SIZE, BITS = 16, 8
SETTINGS = {
    "labnet_width": 16, "feature_dim": 16, "labnet_batch": 16, "imgnet_batch": 16,
    "labnet_epochs": (1,), "imgnet_epochs": (1,), "imgnet_learning_rate": 0.01,
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return miniatures.write_all(tmp_path_factory.mktemp("data"))


def _fit(dataset, folder, replicas: int = 1):
    from dseh_tf.devices.replicas import make_strategy
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods.dseh.dseh import DSEH
    from dseh_tf.methods.image_encoder import Trunk

    strategy = make_strategy("mirrored" if replicas > 1 else "default", replicas)
    runtime = Runtime(strategy, checkpoints=folder, evaluate_rounds=False, progress=False, encode_batch=32)
    return DSEH(BITS, trunk=Trunk("compact", SIZE), **SETTINGS).fit(dataset, runtime)


def _assert_codes_are(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    sure = np.abs(expected) > 1e-4
    np.testing.assert_array_equal((found >= 0)[sure], (expected >= 0)[sure])


@pytest.mark.slow
@pytest.mark.parametrize("name", miniatures.SMALL)
def test_codes_belong_to_their_images(tf, data, tmp_path, name):
    options = miniatures.options(data, name)
    dataset = catalog.load(name, options)
    check_split(dataset, catalog.protocol_of(name, options))
    fitted = _fit(dataset, tmp_path / "checkpoints")
    assert all(np.isfinite(values).all() and len(values) for values in fitted.traces.values())

    def expected(split) -> np.ndarray:
        """Each image is of one colour, known from its id: the network on that colour, no file or pipeline between."""
        colours = np.array([miniatures.colour_of(miniatures.name_of(name, i)) for i in split.ids.tolist()], np.float32)
        flat = np.broadcast_to(colours[:, None, None], (len(split), SIZE, SIZE, 3))
        return np.asarray(fitted.network(flat, training=False)["logits"])

    database = dataset.database.take(np.arange(len(dataset.database))[-100:])
    logits = expected(database)
    assert len(np.unique(logits.round(5), axis=0)) > 0.9 * len(database)  # one image's code is not another's
    _assert_codes_are(fitted.outputs(database)["logits"], logits)

    shuffled = database.take(np.random.default_rng(0).permutation(len(database)))
    _assert_codes_are(fitted.outputs(shuffled)["logits"], expected(shuffled))
    cached = load_pixels(shuffled, SIZE, cache_dir=tmp_path / "pixels", memory_limit=0, progress=False)
    assert isinstance(cached.array, np.memmap)
    _assert_codes_are(fitted.forward(cached.array)["logits"], expected(shuffled))

    # Taken up again from its checkpoint, on two replicas, each of which encodes its share.
    resumed = _fit(dataset, tmp_path / "checkpoints", replicas=2)
    for term, values in fitted.traces.items():
        np.testing.assert_array_equal(resumed.traces[term], values)
    for split in (shuffled, dataset.query):
        _assert_codes_are(resumed.outputs(split)["logits"], expected(split))
