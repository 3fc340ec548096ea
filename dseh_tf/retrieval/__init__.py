"""Retrieval by hash codes: packing, exact evaluation under ties, search. Importing this room loads no TensorFlow."""

from dseh_tf.retrieval.codes import CodesFile, hamming, load_codes, pack, save_codes, sign, unpack
from dseh_tf.retrieval.cosine import cosine_average_precision
from dseh_tf.retrieval.counts import Counts, load_counts, save_counts
from dseh_tf.retrieval.evaluation import Report, evaluate, evaluate_shards, evaluate_unseen
from dseh_tf.retrieval.health import CodeHealth, code_health
from dseh_tf.retrieval.index import HammingIndex

__all__ = [
    "CodeHealth",
    "CodesFile",
    "Counts",
    "HammingIndex",
    "Report",
    "code_health",
    "cosine_average_precision",
    "evaluate",
    "evaluate_shards",
    "evaluate_unseen",
    "hamming",
    "load_codes",
    "load_counts",
    "pack",
    "save_codes",
    "save_counts",
    "sign",
    "unpack",
]
