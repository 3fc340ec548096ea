"""Images that are given to an encoder as files and arrays."""

from __future__ import annotations

import numpy as np
from PIL import Image

from dseh_tf.encoding.inputs import GivenImages


def test_fingerprint_changes_with_the_images_and_their_order(tmp_path, rng):
    one, other = rng.integers(0, 256, (2, 5, 7, 3), np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(one).save(path)
    given = [GivenImages(items) for items in ((one, path), (path, one), (other, path), (one,), (one[:, :6], path))]
    assert len({images.fingerprint() for images in given}) == len(given)
    assert GivenImages((one.copy(), path)).fingerprint() == given[0].fingerprint()
    np.testing.assert_array_equal(given[0].take(np.array([1])).read(0), one)
