"""Pillow's bilinear resizing as a TensorFlow graph, for images of any size: the same bytes as `dseh_tf.data.decoding.resize`.

Pillow resizes in two passes, over columns and over rows. Each pass uses integer weights, which represent 1 as 2^22, and
rounds to 8 bits. Products and sums are below 2^53, so float64 represents them exactly, for any order of summation.
Pillow 12 and earlier begins with the columns. Pillow 13 begins with the rows if the image loses more than twice as many
rows as columns.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from PIL import Image

from dseh_tf.data.decoding import resize_to
from dseh_tf.seeding import default_generator

_ONE = float(1 << 22)
_PROBED = ((40, 30), (30, 40), (97, 21), (21, 97), (64, 64), (5, 80), (80, 5), (120, 110))  # heights and widths


def resized(images: tf.Tensor, shape: tuple[int, int], rows_first: bool) -> tf.Tensor:
    """uint8 [n, height, width, 3] of images uint8 [n, h, w, 3]; images of that size are unchanged.

    Args:
        images: The images, of a size that is known when the graph runs.
        shape: (height, width).
        rows_first: Whether Pillow chooses the order of its passes (see `begins_with_rows`).
    """
    height, width = shape
    size = tf.shape(images)[1:3]

    def stretched() -> tf.Tensor:
        over_rows, over_columns = _weights(size[0], height), _weights(size[1], width)
        first = tf.constant(rows_first) & (size[0] > height) & (size[0] - height > 2 * (size[1] - width))

        def one(image: tf.Tensor) -> tf.Tensor:
            x = tf.cast(image, tf.float64)
            x = tf.cond(
                first,
                lambda: _columns(_rows(x, over_rows), over_columns),
                lambda: _rows(_columns(x, over_columns), over_rows),
            )
            return tf.cast(x, tf.uint8)

        # One image after the other: the float64 copy of a photograph takes eight times its bytes.
        spec = tf.TensorSpec((height, width, 3), tf.uint8)
        return tf.map_fn(one, images, fn_output_signature=spec, parallel_iterations=1)

    found = tf.cond(tf.reduce_all(size == [height, width]), lambda: images, stretched)
    return tf.ensure_shape(found, (None, height, width, 3))


def begins_with_rows() -> bool | None:
    """Whether this Pillow chooses the order of its passes; None if it resizes in neither of the two ways."""
    rng = default_generator(0)
    images = [rng.integers(0, 256, (*size, 3), np.uint8) for size in _PROBED]
    for rows_first in (True, False):
        if all(np.array_equal(resized(x[None], (24, 32), rows_first)[0], resize_to(x, (24, 32))) for x in images):
            return rows_first
    return None


def pillow() -> str:
    """Which Pillow this is."""
    return str(Image.__version__)


def _weights(length: tf.Tensor, target: int) -> tf.Tensor:
    """float64 [target, length] of whole numbers: how much of each old pixel a new one has."""
    scale = tf.cast(length, tf.float64) / target
    reach = tf.maximum(scale, 1.0)
    centre = ((tf.range(target, dtype=tf.float64) + 0.5) * scale)[:, None]
    place = tf.range(tf.cast(length, tf.float64), dtype=tf.float64)[None]
    inside = (place >= tf.floor(centre - reach + 0.5)) & (place < tf.floor(centre + reach + 0.5))
    weight = tf.maximum(1.0 - tf.abs((place - centre + 0.5) * (1.0 / reach)), 0.0)
    weight = tf.where(inside, weight, tf.zeros_like(weight))
    return tf.floor(weight / tf.reduce_sum(weight, axis=1, keepdims=True) * _ONE + 0.5)


def _columns(x: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    return _rounded(tf.einsum("oj,ijc->ioc", weights, x))


def _rows(x: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    return _rounded(tf.einsum("oi,ijc->ojc", weights, x))


def _rounded(x: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(tf.floor((x + _ONE / 2) / _ONE), 0.0, 255.0)
