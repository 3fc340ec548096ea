"""Encodes a database in shards and writes their codes one by one, so that only one shard is in memory at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from dseh_tf.data import RetrievalDataset, Split
from dseh_tf.files import release
from dseh_tf.retrieval import CodesFile, CodesWriter, load_codes
from dseh_tf.retrieval.codes_file import FILE, FOLDER

SHARD_ROWS = 1 << 20  # a multiple of the batches that encoders use, so that these are the same as without shards


def encode_in_shards(workdir: Path, bits: int, dataset: RetrievalDataset, fitted: Any, shard_rows: int) -> CodesFile:
    """The codes of queries and database, written to the folder `codes/` of a run folder and read again.

    Shards that the same encoder wrote before the program was stopped are kept.

    Args:
        workdir: The run folder.
        bits: K.
        dataset: The rows.
        fitted: What encodes them; learned codes of the database are taken as they are.
        shard_rows: Database rows that are encoded at a time.
    """
    modalities = {"codes": "image"} | ({"codes_text": "text"} if "text" in getattr(fitted, "modalities", ()) else {})
    query = {name: _encoded(fitted, dataset.query, modality) for name, modality in modalities.items()}
    query |= {"labels": dataset.query.labels, "ids": dataset.query.ids}
    (workdir / FILE).unlink(missing_ok=True)  # of a run that was stopped, with other shards
    writer = CodesWriter(workdir / FOLDER, bits, query, dataset.database.ids, shard_rows)
    n, trained_ids = len(dataset.database), np.unique(dataset.train.ids)
    for rows in writer.left():
        part = dataset.database.part(rows)
        arrays = {name: _encoded(fitted, part, modality) for name, modality in modalities.items()}
        if fitted.database_codes is not None:
            arrays["codes"] = fitted.database_codes[rows]
        writer.write(rows, labels=part.labels, trained=np.isin(part.ids, trained_ids), **arrays)
        if part.features is not None:
            release(part.features)
        logging.info("encoded %d of %d database rows", rows.stop, n)
    writer.finish()
    return load_codes(workdir / FOLDER, bits)


def _encoded(fitted: Any, split: Split, modality: str) -> np.ndarray:
    codes: np.ndarray = fitted.encode(split) if modality == "image" else fitted.encode(split, modality)
    return codes
