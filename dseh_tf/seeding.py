"""Named random streams. Only this module turns a seed into random numbers.

A stream is a pure function of its seed and its name. It draws the same numbers on every machine and in every process,
whatever was drawn before. `generator` is for numpy, `layer_seed` for the initial weights of a network, `stream_seed`
and `stateless_seed` for stateless operations of TensorFlow. Does not import TensorFlow.
"""

from __future__ import annotations

import hashlib

import numpy as np

# Streams from before this module, each with the second word of its key. Published splits and recorded numbers depend on
# these keys, so they never change. A new stream needs no entry: its key is a digest of its name.
_KEYS = {
    "shallow": 0,  # index: the stream of a shallow method
    "canvas": 0,  # index: twice the row of multi_digits, plus 1 in the query part
    "banks": 7919,  # index: the bank
    "centres": 0xCE27,  # index: the kind of centres
    "centre ties": 0x71E5,
    "label codes": 0x1ABE1,
    "cnnh codes": 0xC0DE5,
    "validation": 0x7A11D,
    "split": 0xD12A3,
    "imagenet_100 classes": 0x11A6E7,
    "scans": 1 << 40,  # index: the digit of multi_digits
}

# Initial weights of layers from before this module: (factor, number) of the seed `factor * seed + number`. They never
# change either. Layers of `new_layer` use the next seed too, for their biases.
_LAYERS = {
    "fc1": (10, 1), "feature": (10, 3), "code": (10, 5), "label": (10, 7),
    "fc8": (10, 101), "slices": (10, 101), "hash": (10, 103), "adapt": (10, 105), "greedyhash": (10, 107),
    **{f"compact/conv{index}": (1000, index) for index in range(1, 7)},
}  # fmt: skip


def stream_seed(seed: int, *names: object) -> int:
    """A 63-bit seed of a named stream.

    Args:
        seed: Seed of the run.
        *names: Name of the stream; order and number of the parts matter. Example: `stream_seed(0, "imgnet", round,
            "flip")`.

    Returns:
        An integer from 0 to 2**63 - 1.
    """
    digest = hashlib.sha256("/".join(map(str, (seed, *names))).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def stateless_seed(seed: int, name: str, index: int = 0) -> tuple[int, int]:
    """The two words that key a named stream: for stateless operations of TensorFlow, and for Philox.

    Args:
        seed: From 0 to 2**64 - 1.
        name: Name of the stream.
        index: Number of the stream, if several have the same name.

    Returns:
        The seed itself, and the key of the name and index.
    """
    return seed, _KEYS[name] + index if name in _KEYS else stream_seed(0, name, index)


def generator(seed: int, name: str, index: int = 0) -> np.random.Generator:
    """A numpy generator (Philox) at the start of a named stream. Arguments are as in `stateless_seed`."""
    return np.random.Generator(np.random.Philox(key=stateless_seed(seed, name, index)))


def default_generator(seed: int) -> np.random.Generator:
    """numpy's default generator (PCG64) of a seed alone: what random CNN-F weights and images of noise are drawn with."""
    return np.random.default_rng(seed)


def bank_seed(seed: int, round_: int) -> int:
    """The seed of the banks' random rows in a round of DSEH; goes into `stateless_seed(..., "banks", bank)`."""
    return seed + 1_000_003 * round_


def layer_seed(seed: int, layer: str) -> int:
    """The seed of a layer's initial weights.

    Args:
        seed: Seed of the network.
        layer: Name of the layer.

    Returns:
        For layers in `_LAYERS`, the number used before this module existed; otherwise a 31-bit seed computed from the
        names.
    """
    if layer in _LAYERS:
        factor, number = _LAYERS[layer]
        return factor * seed + number
    return stream_seed(seed, "weights", layer) >> 32
