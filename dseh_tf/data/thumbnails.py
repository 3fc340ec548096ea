"""Thumbnails of queries and of their nearest items, and sheets of them. Does not import TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dseh_tf.data.decoding import resize
from dseh_tf.data.retrieval_dataset import RetrievalDataset
from dseh_tf.data.split import Split
from dseh_tf.retrieval import nearest_rows

QUERIES, ANSWERS, SIZE = 12, 10, 96  # pixels
_FRAME, _GAP = 3, 6  # pixels
_RIGHT, _WRONG, _PAPER = (0, 120, 80), (190, 60, 20), (255, 255, 255)


def thumbnails(
    dataset: RetrievalDataset,
    query_codes: np.ndarray,
    database_codes: np.ndarray | Iterable[np.ndarray],
    bits: int | None = None,
) -> dict[str, np.ndarray]:
    """Pictures of a dozen queries and of their ten nearest database items; ties in database order.

    Args:
        dataset: A data set with images.
        query_codes: int8 ±1 [queries, K], or packed.
        database_codes: In either form, [n, ...]; or parts of it, in order.
        bits: K, needed for packed codes only.

    Returns:
        query_rows int64 [q], query_ids [q] and query_images uint8 [q, 96, 96, 3]; database_rows, database_ids and
        database_images of each query's answers, [q, a, ...].
    """
    count = min(QUERIES, len(dataset.query))
    rows = np.linspace(0, len(dataset.query) - 1, count).astype(np.int64)
    parts = [database_codes] if isinstance(database_codes, np.ndarray) else database_codes
    nearest, _ = nearest_rows(query_codes[rows], parts, ANSWERS, bits)
    found = pictures(dataset.database, nearest.ravel(), SIZE)
    return {
        "query_rows": rows,
        "query_images": pictures(dataset.query, rows, SIZE),
        "query_ids": dataset.query.ids[rows],
        "database_rows": nearest,
        "database_images": found.reshape(*nearest.shape, *found.shape[1:]),
        "database_ids": dataset.database.ids[nearest],
    }


def pictures(split: Split, rows: np.ndarray, size: int) -> np.ndarray:
    """uint8 [m, size, size, 3] of rows int [m] of a split with images."""
    assert split.images is not None
    return np.stack([resize(split.images.read(int(row)), size) for row in rows])


def answer_sheet(shown: dict[str, np.ndarray], dataset: RetrievalDataset) -> np.ndarray:
    """One picture: a line for each query, then its answers, framed green if they share a label with it and red if not.

    Args:
        shown: The result of `thumbnails`.
        dataset: The data set that it was made of.

    Returns:
        uint8 [height, width, 3].
    """
    labels = dataset.query.labels[shown["query_rows"]], dataset.database.labels[shown["database_rows"]]
    relevant = np.einsum("qc,qac->qa", labels[0].astype(int), labels[1].astype(int)) > 0
    lines = []
    for query, answers, good in zip(shown["query_images"], shown["database_images"], relevant, strict=True):
        framed = [_framed(answer, _RIGHT if right else _WRONG) for answer, right in zip(answers, good, strict=True)]
        lines.append(np.concatenate([_framed(query, _PAPER), _paper(2 * _GAP), *framed], axis=1))
    return np.concatenate(lines, axis=0)


def _paper(width: int) -> np.ndarray:
    return np.full((SIZE + 2 * (_FRAME + _GAP), width, 3), _PAPER, np.uint8)


def _framed(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    side = SIZE + 2 * _FRAME
    framed = np.full((side + 2 * _GAP, side + 2 * _GAP, 3), _PAPER, np.uint8)
    framed[_GAP:-_GAP, _GAP:-_GAP] = colour
    inner = _GAP + _FRAME
    framed[inner:-inner, inner:-inner] = picture
    return framed


def sprite(images: np.ndarray) -> np.ndarray:
    """The images uint8 [n, s, s, 3] in one picture, line by line in a square of ceil(sqrt(n)) columns."""
    columns = int(np.ceil(np.sqrt(len(images))))
    size = images.shape[1]
    sheet = np.zeros((columns * columns, *images.shape[1:]), np.uint8)
    sheet[: len(images)] = images
    return sheet.reshape(columns, columns, size, size, 3).swapaxes(1, 2).reshape(columns * size, columns * size, 3)
