#!/usr/bin/env bash
# Keras: of the .keras files that Keras 2 wrote, Keras 3 loads a plain Sequential model and no functional one.
#
# Packages (Python 3.11): tensorflow==2.20.0 tf_keras==2.20.1 keras==3.15.1 numpy==2.4.6
#
# Behaviour:
#   The file name and the zip members are the same in Keras 2 and 3. A Sequential model of Keras 2 loads with the same
#   outputs. With a BatchNormalization layer it fails on int() of a list. A functional model of the plain layers fails
#   with "Could not locate class 'Functional'", advice on custom classes, and its whole configuration; no error names
#   the version of Keras that wrote the file, which metadata.json holds.
#
# Expected:
#   Either form loads, or an error says that Keras 2 wrote the file.
#
# Seen:
#   sequential: loads, outputs equal True
#   normalized: TypeError of 5373 characters; names Keras 2: False
#       <class 'keras.src.models.sequential.Seq ... like object or a real number, not 'list'
#   functional: TypeError of 2720 characters; names Keras 2: False
#       Could not locate class 'Functional'. Ma ... nfig': {'input_shape': [None, 8, 8, 3]}}
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    tensorflow==2.20.0 tf_keras==2.20.1 keras==3.15.1 numpy==2.4.6
TF_CPP_MIN_LOG_LEVEL=3 "$work/venv/bin/python" - "$work" 2>"$work/log" <<'PYTHON' || { tail -n 3 "$work/log"; exit 1; }
import sys
from pathlib import Path

import keras
import numpy as np
import tf_keras

pixels = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)


def network(*more: tf_keras.layers.Layer) -> tf_keras.Sequential:
    layers = tf_keras.layers
    return tf_keras.Sequential(
        [tf_keras.Input((8, 8, 3)), layers.Conv2D(8, 3), *more, layers.GlobalAveragePooling2D(), layers.Dense(4)]
    )


def outcome(name: str, model: tf_keras.Model) -> str:
    path = Path(sys.argv[1], f"{name}.keras")
    model.save(path)
    try:
        loaded = keras.models.load_model(path)
    except TypeError as error:
        message = str(error)
        print(f"{name}: TypeError of {len(message)} characters; names Keras 2: {tf_keras.__version__ in message}")
        print(f"    {message[:39]} ... {message[-40:]}".replace("\n", " "))
        return "functional" if message.startswith("Could not locate class 'Functional'") else message[-10:]
    equal = np.allclose(np.asarray(loaded(pixels)), np.asarray(model(pixels)), atol=1e-6)
    print(f"{name}: loads, outputs equal {equal}")
    return "loads" if equal else "differs"


outputs = inputs = tf_keras.Input((8, 8, 3))
for layer in network().layers:
    outputs = layer(outputs)
seen = [
    outcome("sequential", network()),
    outcome("normalized", network(tf_keras.layers.BatchNormalization())),
    outcome("functional", tf_keras.Model(inputs, outputs)),
]
if seen != ["loads", "not 'list'", "functional"]:
    sys.exit("the behaviour has changed")
PYTHON
