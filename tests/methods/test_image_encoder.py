"""What every trained network owes its rows: bad ones are named, in training and in encoding."""

import keras
import numpy as np
import pytest

from dseh_tf.errors import InputError

from .toy import clusters

pytestmark = pytest.mark.usefixtures("tf")


@pytest.fixture
def encoder():
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods.image_encoder import ImageEncoder

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


def test_arrays_are_encoded(encoder):
    query = clusters().query
    np.testing.assert_array_equal(encoder.encode(query.features), encoder.encode(query))
    np.testing.assert_array_equal(encoder.encode(query.features.astype(float)), encoder.encode(query))
    np.testing.assert_array_equal(encoder.encode(query.features[:2].tolist()), encoder.encode(query)[:2])
    for rows, words in [
        (query.features[0], r"encoded: found float32 \[20\], expected uint8 images .* or float features \[n, d\]"),
        (np.zeros((2, 8, 8, 3), np.uint8), "features: found none, expected those the network was trained on"),
        (clusters(), "encoded: found RetrievalDataset, expected a Split, or an array"),
        ("a.jpg", "encoded: found str, expected a Split"),
        (np.ma.array(query.features, mask=query.features > 1), "encoded: found masked values"),
    ]:
        with pytest.raises(InputError, match=words):
            encoder.encode(rows)


def test_arrays_of_images_are_encoded(rng):
    from dseh_tf.data import ArrayImages, Split
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods.image_encoder import ImageEncoder
    from dseh_tf.models.backbones import Backbone

    inputs = keras.Input((8, 8, 3))
    network = keras.Model(inputs, {"logits": keras.layers.Dense(6)(keras.layers.Flatten()(inputs))})
    encoder = ImageEncoder(
        6, network, Backbone("x", network, 8, pretrained=False, trained=True), Runtime(progress=False)
    )
    images = rng.integers(0, 256, (5, 10, 12, 3), np.uint8)
    split = Split(np.array(list("abcde")), np.eye(5, dtype=np.uint8), ArrayImages(images))
    codes = encoder.encode(images)
    np.testing.assert_array_equal(codes, encoder.encode(split))
    assert codes.shape == (5, 6) and codes.dtype == np.int8
    with pytest.raises(InputError, match=r"encoded: found float64 .5, 10, 12, 3., expected uint8 images"):
        encoder.encode(images / 255)


def test_features_beyond_what_a_network_can_use(encoder):
    from dseh_tf.methods.image_encoder import Trunk, training_inputs

    train = clusters().train
    train.features[4, 2] = -(2.0**127)
    with pytest.raises(
        InputError, match=r"train features: found -1.70\d+e\+38 in row 4 .*, expected at most 1e\+15 in size"
    ):
        training_inputs(train, Trunk())
    with pytest.raises(InputError, match=r"encoded features: found -1.70\d+e\+38 in row 4"):
        encoder.encode(train)


@pytest.mark.parametrize("name", ["dpsh", "dseh"])
def test_what_is_fitted_is_a_data_set(name):
    from dseh_tf.methods import METHODS

    with pytest.raises(InputError, match="dataset: found tuple, expected a RetrievalDataset"):
        METHODS[name](bits=8).fit((np.ones((4, 2)), [0, 1, 0, 1]))
    for settings in ({"dropout": "0.5"}, {"optimizer": 3}, {"momentum": True}, {"dropout": float("nan")}):
        with pytest.raises(InputError, match=f"{next(iter(settings))}: found"):
            METHODS[name](bits=8, **settings)
    with pytest.raises(InputError, match="epochs: found"):
        METHODS[name](bits=8, **({"epochs": 2.5} if name == "dpsh" else {"labnet_epochs": 2.5}))


def test_outputs_that_are_not_finite_name_their_row():
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods.image_encoder import ImageEncoder

    query = clusters().query
    inputs = keras.Input((20,))
    network = keras.Model(inputs, {"logits": keras.ops.log(inputs + 100)})
    encoder = ImageEncoder(20, network, None, Runtime(progress=False, encode_batch=7))
    assert encoder.encode(query).shape == (60, 20)
    for value, shown in ((-200, "nan"), (-100, "-inf")):
        query.features[30, 4] = value
        for ask in (encoder.encode, encoder.outputs):
            with pytest.raises(
                InputError, match=f"^encode: found {shown} in the network's outputs for query/30, expected finite"
            ):
                ask(query)
