"""Retrieval by hash codes: packing, exact evaluation with ties, search. Importing this package loads no TensorFlow."""

from dseh_tf.retrieval.codes import hamming, pack, sign, unpack
from dseh_tf.retrieval.codes_file import CodesFile, Pieces, codes_path, has_codes, load_codes, save_codes
from dseh_tf.retrieval.codes_writer import CodesWriter
from dseh_tf.retrieval.cosine import cosine_average_precision
from dseh_tf.retrieval.counts import Counts, load_counts, save_counts
from dseh_tf.retrieval.evaluation import (
    Report,
    evaluate,
    evaluate_shards,
    evaluate_unseen,
    evaluate_unseen_shards,
)
from dseh_tf.retrieval.health import CodeHealth, code_health, code_health_shards
from dseh_tf.retrieval.index import HammingIndex
from dseh_tf.retrieval.parts import nearest_rows, rows_at

__all__ = [
    "CodeHealth",
    "CodesFile",
    "CodesWriter",
    "Counts",
    "HammingIndex",
    "Pieces",
    "Report",
    "code_health",
    "code_health_shards",
    "codes_path",
    "cosine_average_precision",
    "evaluate",
    "evaluate_shards",
    "evaluate_unseen",
    "evaluate_unseen_shards",
    "hamming",
    "has_codes",
    "load_codes",
    "load_counts",
    "nearest_rows",
    "pack",
    "rows_at",
    "save_codes",
    "save_counts",
    "sign",
    "unpack",
]
