"""What every trained network owes its rows: bad ones are named, in training and in encoding."""

import keras
import numpy as np
import pytest

from dseh_tf.errors import InputError

from .toy import clusters

pytestmark = pytest.mark.usefixtures("tf")


@pytest.fixture
def encoder():
    from dseh_tf.methods.image_encoder import ImageEncoder
    from dseh_tf.training.runtime import Runtime

    inputs = keras.Input((20,))
    network = keras.Model(inputs, {"logits": keras.layers.Dense(6)(inputs)})
    return ImageEncoder(6, network, None, Runtime(progress=False))


def test_training_features_that_are_not_finite_are_named():
    from dseh_tf.methods.image_encoder import Trunk, training_inputs

    train = clusters().train
    assert training_inputs(train, Trunk()).plain is train.features
    flipped = train.features.copy()
    flipped[5, 1] = -np.inf
    with pytest.raises(InputError, match=r"mirrored train features: found -inf in row 5 \(train/5\), column 1"):
        training_inputs(train.with_features(train.features, flipped), Trunk())
    train.features[17, 3] = np.nan
    with pytest.raises(InputError, match=r"^train features: found nan in row 17 \(train/17\), column 3"):
        training_inputs(train, Trunk())


def test_no_rows(encoder):
    from dseh_tf.methods.image_encoder import Trunk, training_inputs

    none = clusters().query.take(np.arange(0))
    with pytest.raises(InputError, match="train rows: found none, expected at least one"):
        training_inputs(none, Trunk())
    with pytest.raises(InputError, match="encoded rows: found none, expected at least one"):
        encoder.encode(none)


def test_encoded_features_that_do_not_fit_are_named(encoder):
    query = clusters().query
    assert encoder.encode(query).shape == (60, 6)
    for ask in (encoder.encode, encoder.outputs):
        with pytest.raises(InputError, match="encoded features: found 3 columns, expected 20, as in training"):
            ask(clusters(width=3).query)
    query.features[2, 1] = np.nan
    with pytest.raises(InputError, match=r"encoded features: found nan in row 2 \(query/2\), column 1"):
        encoder.encode(query)


def test_outputs_that_are_not_finite_name_their_row():
    from dseh_tf.methods.image_encoder import ImageEncoder
    from dseh_tf.training.runtime import Runtime

    query = clusters().query
    inputs = keras.Input((20,))
    network = keras.Model(inputs, {"logits": keras.ops.log(inputs + 100)})
    encoder = ImageEncoder(20, network, None, Runtime(progress=False, encode_batch=7))
    assert encoder.encode(query).shape == (60, 20)
    for value, shown in ((-200, "nan"), (-100, "-inf")):
        query.features[30, 4] = value
        for ask in (encoder.encode, encoder.outputs):
            with pytest.raises(InputError, match=f"^encode: found {shown} in the network's outputs for query/30, expected finite"):
                ask(query)
