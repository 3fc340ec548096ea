"""Retrieval between modalities, such as images that search texts. Does not import TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dseh_tf.retrieval import CodesFile, Report, evaluate, evaluate_shards, pack
from dseh_tf.retrieval.groups import BLOCK_ROWS, distinct_codes

MODALITIES = ("image", "text")
DIRECTIONS = ("image->text", "text->image", "image->image", "text->text")
MAP_AT = (50, 1000, 5000)
SAME = 1e-6  # two values of MAP that differ by less are one and the same


@dataclass(frozen=True)
class Codes:
    """The codes of query and database by modality, ±1 [n, K] or packed."""

    query_image: np.ndarray
    database_image: np.ndarray
    query_text: np.ndarray
    database_text: np.ndarray


def measured(
    codes: Codes, query_labels: np.ndarray, database_labels: np.ndarray, bits: int | None = None
) -> dict[str, dict[str, Any]]:
    """`directions` of result.json: by direction, MAP and MAP at k, expected over tied orders, and MAP in database order.

    "image->text": codes of the query's images rank the codes of the database's texts.
    """
    found = {}
    for direction in DIRECTIONS:
        asking, searched = direction.split("->")
        query, database = getattr(codes, f"query_{asking}"), getattr(codes, f"database_{searched}")
        found[direction] = _numbers(evaluate(query, database, query_labels, database_labels, bits))
    return found


def measured_in_pieces(codes: CodesFile, rows: int | None = None) -> dict[str, dict[str, Any]]:
    """Like `measured`, with the database in pieces of `rows` rows (as `CodesFile.pieces`)."""
    sides, found = {"image": "codes", "text": "codes_text"}, {}
    for direction in DIRECTIONS:
        asking, searched = direction.split("->")
        shards = codes.pieces(f"database_{sides[searched]}", "database_labels", rows=rows)
        query = getattr(codes, f"query_{sides[asking]}")
        found[direction] = _numbers(evaluate_shards(query, codes.query_labels, shards, codes.bits))
    return found


def _numbers(report: Report) -> dict[str, Any]:
    return {"map": report.map, "map_stable_order": report.map_stable_order, "map_at": _map_at(report)}


def _map_at(report: Report) -> dict[str, float]:
    return {str(k): report.map_at(k) for k in MAP_AT if k <= report.database_size}


def chance(query_labels: np.ndarray, database_labels: np.ndarray | Iterable[np.ndarray]) -> dict[str, Any]:
    """MAP and MAP at k of a ranking in random order, the same in every direction: the expectation if all codes are equal.

    database_labels: of the whole database, or part by part.
    """
    parts = [database_labels] if isinstance(database_labels, np.ndarray) else database_labels
    shards = ((np.ones((len(labels), 1), np.int8), labels) for labels in parts)
    report = evaluate_shards(np.ones((len(query_labels), 1), np.int8), query_labels, shards)
    return {"map": report.map, "map_at": _map_at(report)}


def warning(codes: Codes, numbers: Mapping[str, Mapping[str, Any]]) -> str | None:
    """A warning if both directions between images and texts have exactly the same MAP, which is a sign of collapse.

    If the codes of one modality are all equal, every ranking is one large tie, and both directions have the MAP of a
    random ranking.
    """
    there, back = numbers["image->text"]["map"], numbers["text->image"]["map"]
    if abs(there - back) > SAME:
        return None
    distinct = {
        f"{modality} codes of the {part}": _distinct(getattr(codes, f"{part}_{modality}"))
        for modality in MODALITIES
        for part in ("query", "database")
    }
    told = ", ".join(f"{count:,} distinct {name}" for name, count in distinct.items())
    lead = "codes have collapsed" if min(distinct.values()) == 1 else "image and text codes may be copies"
    return f"warning: image->text and text->image have one and the same MAP ({there:.4f}); {lead}: {told}"


def _distinct(codes: np.ndarray) -> int:
    """Of codes ±1, or packed: those may be a memory map."""
    packed = codes if codes.dtype == np.uint8 else pack(codes)
    parts = [packed[begin : begin + BLOCK_ROWS] for begin in range(0, len(packed), BLOCK_ROWS)]
    return distinct_codes(lambda: parts, *packed.shape)[0]


def lines(result: Mapping[str, Any]) -> list[str]:
    """A line for each direction of a result.json and one for random order, for people."""
    shown = []
    random = {"random order": result["random_order"]} if "random_order" in result else {}
    for direction, values in {**result.get("directions", {}), **random}.items():
        at = "".join(f", MAP@{k} {value:.4f}" for k, value in values["map_at"].items())
        order = f", {values['map_stable_order']:.4f} (database order)" if "map_stable_order" in values else ""
        shown.append(f"  {direction:<12} MAP {values['map']:.4f} (expected over tied orders){order}{at}")
    return shown
