"""The graphs of encoders: formulas as numpy computes them, pixels as Pillow resizes them, bits in the order of codes.npz."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from dseh_tf.retrieval import pack, sign
from tests.export.runs import SHAPE, WIDTH, encoders

KINDS = tuple(encoders())


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_shallow_encoders(tf, kind, normalise):
    """As numpy, which divides rows by their length in float32; in float32 to its precision, but for trees, which jump."""
    from dseh_tf.export.shallow_graph import project

    encoder = encoders(normalise)[kind]
    x = np.random.default_rng(0).random((50, WIDTH)).astype(np.float32)
    if normalise:
        x[3] = 0  # a row without direction
        x[4] *= 1e25  # whose squares leave float32's range
    expected = encoder.project(x)
    assert expected.std(axis=0).min() > 1e-3 or kind == "trees"
    found = project(encoder, tf.constant(x), tf.float64).numpy()
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 if normalise else 1e-9)
    if kind != "trees":
        np.testing.assert_allclose(project(encoder, tf.constant(x), tf.float32), expected, rtol=1e-3, atol=2e-4)
    else:
        assert len(np.unique(expected[:, 0])) > 2 and len(np.unique(expected[:, 1])) == 2, expected[:9]


def test_an_unknown_encoder_is_refused(tf):
    from dseh_tf.export.shallow_graph import project

    with pytest.raises(TypeError, match="found an encoder of int"):
        project(3, tf.zeros((1, 2)), tf.float64)  # type: ignore[arg-type]


@pytest.mark.parametrize("bits", [1, 7, 8, 9, 64])
def test_packing(tf, bits):
    from dseh_tf.export.graph import packed

    logits = np.random.default_rng(bits).normal(size=(30, bits)).astype(np.float32)
    logits[0], logits[1] = 0, -0.0  # 0 is +1
    np.testing.assert_array_equal(packed(tf.constant(logits), bits), pack(sign(logits)))


def test_resizing_is_pillows(tf):
    """Larger and smaller, tall and wide, one pixel wide: every byte."""
    from dseh_tf.export.resizing import begins_with_rows, resized

    rows_first = begins_with_rows()
    assert rows_first is not None
    rng = np.random.default_rng(0)
    sizes = [(7, 9), (14, 9), (7, 18), (1, 1), (1, 60), (90, 1), (200, 300), *rng.integers(1, 120, (20, 2)).tolist()]
    for height, width in sizes:
        images = rng.integers(0, 256, (2, height, width, 3), np.uint8)
        expected = [np.asarray(Image.fromarray(x).resize((9, 7), Image.Resampling.BILINEAR)) for x in images]
        found = resized(tf.constant(images), (7, 9), rows_first)
        assert found.dtype == tf.uint8
        np.testing.assert_array_equal(found, expected, err_msg=f"{height} x {width}")


def test_the_order_of_passes_shows(tf):
    """A tall image has other bytes in the two orders: the test above would fail with the wrong one."""
    from dseh_tf.export.resizing import resized

    image = np.random.default_rng(0).integers(0, 256, (1, 97, 21, 3), np.uint8)
    found = [resized(tf.constant(image), (24, 32), order).numpy().astype(int) for order in (True, False)]
    assert np.abs(found[0] - found[1]).max() == 1


def test_shapes(tmp_path):
    """Of raw images, of a run on features without a backbone."""
    from dseh_tf.encoding import shallow
    from dseh_tf.errors import InputError
    from dseh_tf.export.model import image_shape
    from tests.export.runs import shallow_run

    run = shallow_run(tmp_path / "run")
    assert image_shape(run) == SHAPE
    run.encoder = shallow.Projection(rows=shallow.Rows(False, np.zeros(3)), weights=np.ones((3, 12)))
    with pytest.raises(
        InputError, match="export: found a run of lsh on features that were given without their backbone"
    ):
        image_shape(run)
