#!/usr/bin/env bash
# Keras: sublayers in a list of lists, saved by an older Keras 3, load as random weights, others at each load.
#
# Packages (Python 3.11): keras==3.3.3 to save, keras==3.15.1 to load; jax==0.4.38 jaxlib==0.4.38 numpy==2.2.6
# ml_dtypes==0.5.4 h5py==3.16.0 packaging==26.0 (the smallest backend; it is the same with TensorFlow)
#
# Behaviour:
#   Keras 3.3.3 does not save the weights of layers that a custom layer holds in a list of lists, and does not say so.
#   Keras 3.15.1 loads the file with a warning and leaves these weights at random values, so two loads of one file give
#   two networks. A file saved by 3.15.1 keeps the weights.
#
# Expected:
#   An error at saving or at loading, or the weights.
#
# Seen:
#   Keras 3.3.3 saved 4 weights; warnings: 0
#   Keras 3.15.1 loaded: the first kernel is the saved one: [False, False] the two loads agree: False
#   warnings: ["Skipping nested container at 'layers/blocks/stages/container'",
#       "Skipping nested container at 'layers/blocks/stages/container_1'"]
#   Keras 3.15.1 saved 4 weights; warnings: 0
#   Keras 3.15.1 loaded: the first kernel is the saved one: [True, True] the two loads agree: True
#   warnings: []
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
cat > "$work/blocks.py" <<'PYTHON'
import keras


@keras.saving.register_keras_serializable("blocks")
class Blocks(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.stages = [[keras.layers.Dense(8)], [keras.layers.Dense(4)]]

    def build(self, shape):
        for (layer,) in self.stages:
            layer.build(shape)
            shape = (*shape[:-1], layer.units)

    def call(self, x):
        for (layer,) in self.stages:
            x = layer(x)
        return x
PYTHON
cat > "$work/save.py" <<'PYTHON'
import warnings

import keras
import numpy as np
from blocks import Blocks

inputs = keras.Input((6,), name="pixels")
model = keras.Model(inputs, Blocks()(inputs))
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    model.save("trunk.keras")
np.save("kernel.npy", np.asarray(model.weights[0]))
nested = sum("nested" in str(w.message) for w in told)
print("Keras", keras.__version__, "saved", len(model.weights), "weights; warnings:", nested)
PYTHON
cat > "$work/load.py" <<'PYTHON'
import sys
import warnings

import keras
import numpy as np
from blocks import Blocks  # noqa: F401  registers the layer

saved = np.load("kernel.npy")
kernels = []
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    for _ in range(2):
        kernels.append(np.asarray(keras.models.load_model("trunk.keras").weights[0]))
same = [np.array_equal(kernel, saved) for kernel in kernels]
again = np.array_equal(*kernels)
print("Keras", keras.__version__, "loaded: the first kernel is the saved one:", same, "the two loads agree:", again)
print("warnings:", sorted({str(w.message).split(":")[0] for w in told if "nested" in str(w.message)}))
wanted = sys.argv[1] == "kept"
if not (same == [wanted, wanted] and again == wanted):
    sys.exit("the behaviour has changed")
PYTHON
install() { "$work/venv/bin/pip" install -qq --disable-pip-version-check "$@"; }
cd "$work"
export KERAS_BACKEND=jax
install keras==3.3.3 jax==0.4.38 jaxlib==0.4.38 numpy==2.2.6 ml_dtypes==0.5.4 h5py==3.16.0 packaging==26.0
venv/bin/python save.py
install keras==3.15.1
venv/bin/python load.py lost
venv/bin/python save.py
venv/bin/python load.py kept
