"""CNNH: Xia, Pan, Lai, Liu, Yan, "Supervised Hashing for Image Retrieval via Image Representation Learning", AAAI 2014."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow as tf
from absl import logging

from dseh_tf import losses
from dseh_tf.methods.deep.base import DeepMethod, DeepSettings
from dseh_tf.seeding import generator
from dseh_tf.training.banks import CodeBank
from dseh_tf.training.recipe import Tensors, Terms


@dataclass(frozen=True)
class CNNHSettings(DeepSettings):
    """swuxyj/DeepHash-pytorch:CNNH.py, for all data sets: Adam at 1e-5, ten sweeps of coordinate descent.

    sweeps: T of the first stage. block: rows whose inner products with all others are taken at a time.
    """

    learning_rate: float = 1e-5
    batch: int = 128
    epochs: int = 150
    sweeps: int = 10
    block: int = 32


class CNNH(DeepMethod):
    """First solves codes from the similarities alone, and then trains a network to regress tanh(z) on them.

    Not repeated from swuxyj/DeepHash-pytorch:CNNH.py: S in {0, 1} instead of the paper's {-1, 1} (products of
    dissimilar rows would tend to 0 instead of -K), |u - h| instead of (u - h)^2, unbounded outputs, n x n matrices in
    memory.
    """

    name = "cnnh"
    Settings = CNNHSettings
    LEAST: ClassVar = {"sweeps": 1, "block": 1}
    PUBLISHED: ClassVar = {"nus_wide": CNNHSettings()}

    def bank(self, labels: np.ndarray, strategy: tf.distribute.Strategy) -> CodeBank:
        return CodeBank(strategy, labels, self.bits)

    def fill(self, bank: CodeBank, labels: np.ndarray) -> None:
        s = self.settings
        bank.fill(similarity_codes(labels, self.bits, self.seed, s.sweeps, s.block))

    def loss(self, outputs: Tensors, batch: Tensors, bank: CodeBank) -> Terms:
        codes = tf.gather(tf.convert_to_tensor(bank.values), batch["rows"])
        error = losses.code_regression(tf.tanh(outputs["logits"]), codes)
        return {"total": error / (codes.shape[0] * self.bits)}


def similarity_codes(labels: np.ndarray, bits: int, seed: int = 0, sweeps: int = 10, block: int = 32) -> np.ndarray:
    """The first stage: H of ±1 [n, K], float32, with <h_i, h_j> near K s_ij, s_ij = 1 if rows share a label, else -1.

    labels: float32 [n, c] multi-hot. Coordinate descent on |H H^T - K S|^2 over H in [-1, 1]^{n x K} from a uniform start,
    by the paper's Newton steps (exact, as the loss is quadratic in an entry but for its product with itself, which like the
    paper we leave out), then the signs. Rows go in random order, a `block` at a time: S and its product with H are taken
    for the block, then column by column its entries move together. With block = 1 this is the plain algorithm; in a
    block of 32 of thousands the rows hardly see each other. No more than block x n similarities are ever held.
    """
    rng = generator(seed, "cnnh codes")
    h = rng.uniform(-1, 1, (len(labels), bits)).astype(np.float32)
    for sweep in range(sweeps):
        gram = h.T @ h
        moved = 0.0
        for rows in np.array_split(rng.permutation(len(labels)), -(-len(labels) // block)):
            similar = np.where(labels[rows] @ labels.T > 0.5, np.float32(1), np.float32(-1))
            wanted = bits * (similar @ h)
            old = h[rows]
            new = old.copy()
            own = bits * similar[np.arange(len(rows)), rows]
            for k in range(bits):
                # Over all rows l but the row itself: sum h_lk (<h_i, h_l> - K s_il), and sum h_lk^2.
                slope = new @ gram[:, k] - wanted[:, k]
                slope -= (new * old).sum(axis=1) * old[:, k] - own * old[:, k]
                curvature = np.maximum(gram[k, k] - old[:, k] ** 2, 1e-6)
                new[:, k] = np.clip(new[:, k] - slope / curvature, -1, 1)
            gram += new.T @ new - old.T @ old
            moved += float(np.abs(new - old).sum())
            h[rows] = new
        logging.info("cnnh: sweep %d of %d, entries moved by %.4f on average", sweep + 1, sweeps, moved / h.size)
    return np.where(h >= 0, np.float32(1), np.float32(-1))
