"""Memory of a training step of DSEH on a device, by formula, for the sizes of the paper.

    python -m benchmarks.step_memory [--batch=B] [--bits=64]

Of the image network: weights, gradients and two moments of Adam, float32, and the outputs of all layers for a batch, kept for
the backward pass, with as much again for their gradients. Of the banks: features, codes and labels of all training rows for
LabNet's phase; for ImgNet's phase features and codes of the distinct label vectors. Similarities are training rows x batch in
LabNet's phase and distinct label vectors x batch in ImgNet's. Workspaces of cuDNN and the allocator's own reserve come on top.
The network is CNN-F with random weights, at 224 pixels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from dseh_tf.methods import METHODS
from dseh_tf.methods.image_encoder import Trunk
from dseh_tf.models.imgnet import build_imgnet
from dseh_tf.models.labnet import build_labnet
from experiments import program

FLOAT, MIB = 4, 2**20
# Training rows, classes, distinct label vectors among the rows (of NUS-WIDE the bound: one per row), and the preset's row.
SIZES = {
    "NUS-WIDE": (10_500, 21, 10_500, "nus_wide"),
    "ImageNet-100": (10_000, 100, 100, "imagenet"),
    "MS-COCO": (10_000, 80, 3_845, "ms_coco"),
}


def layer_outputs(model: keras.Model) -> Iterator[int]:
    """Values of each layer's output for one image, layers of nested models included."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from layer_outputs(layer)
        elif not isinstance(layer, keras.layers.InputLayer):
            yield int(np.prod(layer.output.shape[1:]))


def network_bytes(model: keras.Model, batch: int, slots: int) -> tuple[int, int]:
    """Bytes of weights with gradients and optimiser slots, and of the outputs of all layers with their gradients."""
    trained = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    fixed = sum(int(np.prod(v.shape)) for v in model.non_trainable_variables)
    return FLOAT * ((2 + slots) * trained + fixed), 2 * FLOAT * batch * sum(layer_outputs(model))


def main() -> None:
    parser = program.ArgumentParser(__doc__)
    parser.add_argument("--batch", type=int, default=0, help="default: the preset's")
    parser.add_argument("--bits", type=int, default=64)
    given = parser.parse_args()
    print("| data | phase | weights, gradients, slots | layers' outputs | banks | similarities | MiB in all |")
    print("|---|---|---|---|---|---|---|")
    for name, (rows, classes, vectors, preset_dataset) in SIZES.items():
        trunk = Trunk("cnn_f", 224, weights="random", train=True)
        method = METHODS["dseh"](given.bits, preset="paper", preset_dataset=preset_dataset, trunk=trunk)
        s = method.resolve(False).settings
        slots = 2 if s.optimizer == "adam" else int(bool(s.momentum))
        networks = {
            "LabNet": (build_labnet(classes, given.bits, s), s.labnet_batch, rows, rows, classes),
            "ImgNet": (
                build_imgnet(given.bits, s, 0, trunk.build(0, s.dropout)),
                s.imgnet_batch,
                vectors,
                vectors,
                classes,
            ),
        }
        for phase, (model, batch, kept, compared, width) in networks.items():
            batch = given.batch or batch
            weights, outputs = network_bytes(model, batch, slots)
            banks = FLOAT * kept * (s.feature_dim + given.bits + width)
            # S, and the inner products of features and of codes with their gradients.
            pairs = FLOAT * compared * batch * 5
            parts = (weights, outputs, banks, pairs)
            print(f"| {name} | {phase} | " + " | ".join(f"{part / MIB:,.0f}" for part in (*parts, sum(parts))) + " |")
        del networks


if __name__ == "__main__":
    main()
