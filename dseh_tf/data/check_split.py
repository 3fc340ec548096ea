"""Measures and verifies a split: sizes, overlaps, classes, and whether it follows its protocol."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from dseh_tf.data.protocol import Protocol
from dseh_tf.data.retrieval_dataset import RetrievalDataset
from dseh_tf.data.split import Split
from dseh_tf.data.texts import has_words
from dseh_tf.errors import InputError


@dataclass(frozen=True)
class SplitReport:
    """The result of `check_split`; `str()` formats it for printing.

    sizes, overlaps (images in both, for each pair), relevant_share (of query-database pairs), labels_per_image (mean
    per split), class_counts {split: int64 [c]}, distinct_labels (label vectors per split), without_label (rows per
    split),
    digest (of the ids of the three splits: equal digests are equal splits). Of texts, if there are any: words (columns),
    words_per_image (distinct ones, mean per split), without_text (rows per split).
    """

    name: str
    protocol: str
    sizes: dict[str, int]
    overlaps: dict[tuple[str, str], int]
    relevant_share: float
    labels_per_image: dict[str, float]
    class_counts: dict[str, np.ndarray]
    distinct_labels: dict[str, int]
    without_label: dict[str, int]
    class_names: tuple[str, ...]
    digest: str
    words: int | None = None
    words_per_image: dict[str, float] = field(default_factory=dict)
    without_text: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = tuple(self.sizes)
        lines = [f"data set    {self.name}", f"protocol    {self.protocol}", f"digest      {self.digest}", ""]
        lines.append(f"{'':24}" + "".join(f"{part:>12}" for part in parts))
        lines.append(_row("images", [f"{self.sizes[part]:,}" for part in parts]))
        lines.append(_row("labels an image", [f"{self.labels_per_image[part]:.3f}" for part in parts]))
        lines.append(_row("distinct label vectors", [f"{self.distinct_labels[part]:,}" for part in parts]))
        lines.append(_row("images without label", [f"{self.without_label[part]:,}" for part in parts]))
        if self.words is not None:
            lines.append(
                _row(f"words an image of {self.words:,}", [f"{self.words_per_image[part]:.3f}" for part in parts])
            )
            lines.append(_row("images without text", [f"{self.without_text[part]:,}" for part in parts]))
        for one in parts:
            shared = [f"{self.sizes[one] if one == two else self.overlaps[_pair(one, two)]:,}" for two in parts]
            lines.append(_row(f"in {one} too", shared))
        lines += ["", f"relevant query-database pairs: {self.relevant_share:.4f}", "", "images a class"]
        names = self.class_names or tuple(str(index) for index in range(len(self.class_counts["train"])))
        for index, name in enumerate(names):
            lines.append(_row(name, [f"{int(self.class_counts[part][index]):,}" for part in parts]))
        return "\n".join(lines)


def check_split(dataset: RetrievalDataset, protocol: Protocol | None = None) -> SplitReport:
    """Measures a split and verifies it.

    Raises InputError if an id occurs twice in a split, or a query is in another split (unless the protocol allows it).
    With a protocol, also raises InputError if sizes, class counts or the place of the training rows differ from it.
    """
    parts = {part: getattr(dataset, part) for part in ("train", "query", "database")}
    ids = {part: split.ids.tolist() for part, split in parts.items()}
    sets = {part: set(names) for part, names in ids.items()}
    for part, names in ids.items():
        if len(sets[part]) < len(names):
            twice = [name for name, count in Counter(names).items() if count > 1]
            raise InputError(
                f"{dataset.name}, {part}: found {twice[0]} twice ({len(twice)} such), expected each id once"
            )
    common = {
        _pair(one, two): sets[one] & sets[two]
        for one, two in (("train", "query"), ("query", "database"), ("train", "database"))
    }
    for one, two in (("query", "train"), ("query", "database")):
        found = common[_pair(one, two)]
        allowed = two == "database" and protocol is not None and protocol.queries_in_database
        if len(found) and not allowed:
            raise InputError(
                f"{dataset.name}: found query {min(found)} in {two} too ({len(found)} such), expected none"
            )
    if protocol is not None:
        _check_protocol(dataset, protocol, len(common["train", "database"]))
    texts = {part: split.texts for part, split in parts.items() if split.texts is not None}
    digest = hashlib.sha256("\n".join("\t".join(names) for names in ids.values()).encode()).hexdigest()
    return SplitReport(
        name=dataset.name,
        protocol=str(protocol) if protocol is not None else str(dataset.notes.get("protocol", "none stated")),
        sizes={part: len(split) for part, split in parts.items()},
        overlaps={pair: len(names) for pair, names in common.items()},
        relevant_share=relevant_share(dataset.query.labels, dataset.database.labels),
        labels_per_image={part: float(split.labels.sum() / max(1, len(split))) for part, split in parts.items()},
        class_counts={part: split.labels.sum(axis=0, dtype=np.int64) for part, split in parts.items()},
        distinct_labels={part: len(_distinct(split.labels)[0]) for part, split in parts.items()},
        without_label={part: int((~split.labels.any(axis=1)).sum()) for part, split in parts.items()},
        class_names=dataset.class_names,
        digest=digest[:16],
        words=None if dataset.train.texts is None else dataset.train.texts.shape[1],
        words_per_image={part: rows.nnz / max(1, rows.shape[0]) for part, rows in texts.items()},
        without_text={part: int((~has_words(rows)).sum()) for part, rows in texts.items()},
    )


def relevant_share(query: np.ndarray, database: np.ndarray) -> float:
    """Fraction of the pairs of rows of uint8 [q, c] and [n, c] that have a label in common.

    Over distinct label vectors with their counts: there are far fewer of them than images.
    """
    if not len(query) or not len(database):
        return 0.0
    (q, q_counts), (d, d_counts) = _distinct(query), _distinct(database)
    relevant = (q.astype(np.float32) @ d.T.astype(np.float32)) > 0
    return float(q_counts @ (relevant @ d_counts) / (len(query) * len(database)))


def _distinct(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct rows of labels and how often each comes."""
    packed = np.ascontiguousarray(np.packbits(labels, axis=1))
    _, first, counts = np.unique(packed.view(f"V{packed.shape[1]}").ravel(), return_index=True, return_counts=True)
    return labels[first], counts


def _check_protocol(dataset: RetrievalDataset, protocol: Protocol, train_in_database: int) -> None:
    quotas = {"query": protocol.queries, "train": protocol.train}
    for part, quota in quotas.items():
        split: Split = getattr(dataset, part)
        wanted = len(dataset.database) if quota is None else quota.total(dataset.classes)
        if len(split) != wanted:
            raise InputError(f"{dataset.name}, {part}: found {len(split):,} images, expected {wanted:,}")
        if quota is None or not quota.every_class or quota.fill_to is not None:
            continue
        for index, found in enumerate(split.labels.sum(axis=0, dtype=np.int64)):
            if found < quota.of_class(index):
                name = dataset.class_names[index] if dataset.class_names else index
                raise InputError(
                    f"{dataset.name}, {part}, class {name}: found {found} images, expected at least {quota.of_class(index)}"
                )
    wanted = 0 if protocol.queries_in_database else len(dataset.train)
    if train_in_database != wanted:
        raise InputError(
            f"{dataset.name}: found {train_in_database:,} of {len(dataset.train):,} training images in the database, "
            f"expected {wanted:,}"
        )
    outside = protocol.queries.total(dataset.classes)
    if protocol.queries_in_database:
        outside = len(dataset.train)
    if protocol.classes is not None and dataset.classes != protocol.classes:
        raise InputError(f"{dataset.name}: found {dataset.classes} classes, expected {protocol.classes}")
    if protocol.images is not None and len(dataset.database) != protocol.images - outside:
        raise InputError(
            f"{dataset.name}, database: found {len(dataset.database):,} images, expected {protocol.images - outside:,}"
        )


def _pair(one: str, two: str) -> tuple[str, str]:
    order = ("train", "query", "database")
    return (one, two) if order.index(one) < order.index(two) else (two, one)


def _row(name: str, values: list[str]) -> str:
    return f"{name:<24}" + "".join(f"{value:>12}" for value in values)
