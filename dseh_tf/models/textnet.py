"""The text network: a text row to hash logits."""

from __future__ import annotations

import keras
import tensorflow as tf

from dseh_tf.models.layers import linear_layer
from dseh_tf.seeding import layer_seed


def build_textnet(words: int, bits: int, hidden: int, seed: int = 0) -> keras.Model:
    """Two layers, as in zs-zhong/DJSRH:models.py:TxtNet: words -> hidden, ReLU -> bits.

    Args:
        words: Width of a text row.
        bits: Code length K.
        hidden: Units of the layer between.
        seed: Seed of the initial weights.

    Returns:
        A model from float32 [b, words] to {"logits": float32 [b, K]}.
    """
    texts = keras.Input((words,), name="texts")
    x = linear_layer(hidden, words, "text_hidden", layer_seed(seed, "text_hidden"), activation="relu")(texts)
    logits = linear_layer(bits, hidden, "text_hash", layer_seed(seed, "text_hash"))(x)
    return keras.Model(texts, {"logits": logits}, name="txtnet")


def dense_texts(columns: tf.Tensor, values: tf.Tensor, words: int) -> tf.Tensor:
    """Dense rows float32 [b, words] of rows as `dseh_tf.data.texts.padded` has them: columns int32 and values [b, m]."""
    rows = tf.broadcast_to(tf.range(tf.shape(columns)[0])[:, None], tf.shape(columns))
    shape = tf.stack([tf.shape(columns)[0], words + 1])
    return tf.scatter_nd(tf.stack([rows, columns], axis=-1), values, shape)[:, :words]
