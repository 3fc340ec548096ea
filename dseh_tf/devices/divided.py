"""Divides work on rows between the workers of a run: each does a part, and all get the whole result. Does not import
TensorFlow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dseh_tf.devices.workers import Workers
from dseh_tf.retrieval import Counts, Report, evaluate
from dseh_tf.retrieval.evaluation import evaluate_unseen

Outputs = dict[str, np.ndarray]


def divided(workers: Workers, rows: int, unit: int, work: Callable[[slice], Outputs]) -> Outputs:
    """Computes the outputs for all rows, a part of them on each worker.

    Args:
        workers: The workers of the run.
        rows: Number of rows, at least one.
        unit: Rows of a forward pass. Parts are multiples of it, so that every pass has the same rows as in a single
            process.
        work: A function from a slice of rows to arrays [n of these rows, ...] by name.
    """
    if workers.count == 1:
        return work(slice(0, rows))
    own = workers.share(rows, unit)
    nothing = own.start == own.stop  # of few rows; one of them shows names, dtypes and widths
    found = work(slice(0, 1) if nothing else own)
    return {name: workers.rows(f"rows of {name}", part[:0] if nothing else part) for name, part in found.items()}


def divided_codes(workers: Workers, rows: int, unit: int, encode: Callable[[slice], np.ndarray]) -> np.ndarray:
    """int8 ±1 [rows, K] as `divided`; what travels are packed bits."""
    if workers.count == 1:
        return encode(slice(0, rows))
    bits = 0

    def packed(part: slice) -> Outputs:
        nonlocal bits
        codes = encode(part)
        bits = codes.shape[1]
        return {"codes": np.packbits(codes > 0, axis=1)}

    found = divided(workers, rows, unit, packed)["codes"]
    return np.where(np.unpackbits(found, axis=1, count=bits), 1, -1).astype(np.int8)


def evaluate_divided(
    workers: Workers,
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
) -> Report:
    """Like `evaluate`; every worker ranks the database for its part of the queries.

    Either all workers must read `map_stable_order`, or none.
    """
    report, _ = evaluate_unseen_divided(workers, query_codes, database_codes, query_labels, database_labels, None)
    return report


def evaluate_unseen_divided(
    workers: Workers,
    query_codes: np.ndarray,
    database_codes: np.ndarray,
    query_labels: np.ndarray,
    database_labels: np.ndarray,
    trained: np.ndarray | None,
) -> tuple[Report, Report | None]:
    """Like `evaluate_unseen`, divided as in `evaluate_divided`; the second report is None if `trained` is."""
    own = workers.share(len(query_codes))
    if own.start == own.stop:  # fewer queries than workers
        own = slice(0, 1)
        kept = slice(0, 0)
    else:
        kept = slice(None)
    parts: list[Report] = []
    if trained is None:
        parts = [evaluate(query_codes[own], database_codes, query_labels[own], database_labels)]
    else:
        parts = list(evaluate_unseen(query_codes[own], database_codes, query_labels[own], database_labels, trained))
    if workers.count > 1:
        parts = [_whole(workers, part, kept) for part in parts]
    return parts[0], parts[1] if len(parts) > 1 else None


def _whole(workers: Workers, part: Report, kept: slice) -> Report:
    relevant, total = (
        workers.rows(f"counts of {name}", getattr(part.counts, name)[kept]) for name in ("relevant", "total")
    )
    stable = part.stable_order
    if stable is None:
        return Report(Counts(relevant, total))
    return Report(Counts(relevant, total), lambda: workers.rows("stable order", stable()[kept]))
