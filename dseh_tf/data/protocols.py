"""Who is query, who trains, who is searched: protocols as the papers state them, the draw, and the proof of a split."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from dseh_tf.data.retrieval_dataset import RetrievalDataset, Split
from dseh_tf.errors import InputError
from dseh_tf.seeding import generator

SPLITS = ("sequential-class", "greedy-image")


@dataclass(frozen=True)
class Quota:
    """A number of images: of every class, or in all.

    first_class: another number for the first class. fill_to: classes may fall short; the total is reached with images
    of any class.
    """

    number: int
    every_class: bool = False
    first_class: int | None = None
    fill_to: int | None = None

    def of_class(self, index: int) -> int:
        return self.first_class if index == 0 and self.first_class is not None else self.number

    def total(self, classes: int) -> int:
        if self.fill_to is not None:
            return self.fill_to
        return sum(self.of_class(index) for index in range(classes)) if self.every_class else self.number

    def __str__(self) -> str:
        if not self.every_class:
            return f"{self.number:,}"
        first = "" if self.first_class is None else f", {self.first_class:,} of the first"
        fill = "" if self.fill_to is None else f", filled to {self.fill_to:,}"
        return f"{self.number:,} a class{first}{fill}"


def every_class(number: int, first_class: int | None = None, fill_to: int | None = None) -> Quota:
    return Quota(number, True, first_class, fill_to)


def in_all(number: int) -> Quota:
    return Quota(number)


@dataclass(frozen=True)
class Protocol:
    """One sentence of a paper: of so many `images` with so many `classes`, `queries` ask and `train` trains.

    The database is every image but the queries, the training images included. images, classes: None where they are
    whatever is found. train: None where the whole database trains. queries_in_database: HashNet's lists for COCO are
    so, each query finding itself; their training images are then outside.
    """

    name: str
    queries: Quota
    train: Quota | None
    images: int | None = None
    classes: int | None = None
    queries_in_database: bool = False

    def __str__(self) -> str:
        images = "the images" if self.images is None else f"{self.images:,} images"
        classes = "" if self.classes is None else f" of {self.classes} classes"
        train = "the whole database" if self.train is None else str(self.train)
        database = "every image but the training images" if self.queries_in_database else "every image but the queries"
        return f"{self.name}: {images}{classes}; queries {self.queries}; training {train}; database {database}"

    def with_numbers(self, queries: int | None, train: int | None) -> Protocol:
        """The same protocol on a part of the data: other numbers (a class or in all, as before), any pool."""
        if queries is None and train is None:
            return self
        changes = {"images": None}
        if queries is not None:
            changes["queries"] = Quota(queries, self.queries.every_class)
        if train is not None:
            changes["train"] = Quota(train, self.queries.every_class if self.train is None else self.train.every_class)
        return replace(self, **changes)


# DSEH, section 4.1; the pools, and what its release has instead, in the catalog.
NUS_WIDE_21 = Protocol("nus_wide_21", every_class(100), every_class(500), images=195_834, classes=21)
IMAGENET_100 = Protocol("imagenet_100", every_class(50), every_class(100), classes=100)
MS_COCO = Protocol("ms_coco", in_all(5_000), in_all(10_000), images=122_218, classes=80)
# HashNet's lists hold the queries inside the database (thuml/HashNet:pytorch/data/coco).
MS_COCO_HASHNET = replace(MS_COCO, queries_in_database=True)
# The 5,000 training images of the deep methods, and ADSH's whole database (jiangqy/ADSH-AAAI2018:ADSH_matlab).
CIFAR10 = Protocol("cifar10", every_class(100), every_class(500), images=60_000, classes=10)
CIFAR10_ADSH = replace(CIFAR10, train=None)
# DJSRH (zs-zhong/DJSRH:datasets.py).
NUS_WIDE_10 = Protocol("nus_wide_10", every_class(200), every_class(500), images=186_577, classes=10)
MIRFLICKR25K = Protocol(
    "mirflickr25k",
    every_class(80, first_class=160),
    every_class(200, first_class=400, fill_to=5_000),
    images=20_015,
    classes=24,
)
MULTI_DIGITS = Protocol("multi_digits", in_all(500), in_all(2_000), images=5_500, classes=10)


@dataclass(frozen=True)
class Draw:
    """Rows of the pool, each int64 and sorted."""

    query: np.ndarray
    train: np.ndarray
    database: np.ndarray


def draw(
    labels: np.ndarray,
    protocol: Protocol,
    seed: int,
    split: str = "sequential-class",
    class_names: tuple[str, ...] = (),
    query_pool: np.ndarray | None = None,
    no_query: np.ndarray | None = None,
) -> Draw:
    """Draws a split of a pool, a pure function of its arguments.

    labels: uint8 [n, c]. split: how "so many a class" is read where an image has several labels.
    "sequential-class": class by class, its unused images are permuted, the first are queries, the next train
    (zzs1994/DJSRH:datasets.py). "greedy-image": one permutation of all images, each goes to the first of its classes
    with room, training before queries (swuxyj/DeepHash-pytorch:data/nuswide_21/code.py).
    query_pool: bool [n], the images queries come from (ImageNet's validation set); no other split gets them.
    no_query: bool [n], images that may train and be searched but not ask (NUS-WIDE's photographs that the
    distribution holds under another id too).

    Raises InputError where the pool or a class has too few images, or the pool is not the protocol's.
    """
    if split not in SPLITS:
        raise InputError(f"split: found {split!r}, expected one of {', '.join(SPLITS)}")
    n, classes = labels.shape
    if protocol.images is not None and n != protocol.images:
        raise InputError(f"{protocol.name}: found {n:,} images, expected {protocol.images:,}")
    if protocol.classes is not None and classes != protocol.classes:
        raise InputError(f"{protocol.name}: found {classes} classes, expected {protocol.classes}")
    rng = generator(seed, "split")
    may = {"query": np.ones(n, bool), "train": np.ones(n, bool)}
    if query_pool is not None:
        may = {"query": query_pool.copy(), "train": ~query_pool}
    if no_query is not None:
        may["query"] &= ~no_query
    quotas = {"query": protocol.queries}
    if protocol.train is not None:
        quotas["train"] = protocol.train
    if any(quota.every_class for quota in quotas.values()):
        choose = _class_by_class if split == "sequential-class" else _image_by_image
        taken = choose(labels, quotas, may, rng)
    else:
        taken = {part: [] for part in quotas}
    _fill(taken, quotas, may, rng)
    _check_filled(taken, quotas, labels, protocol, class_names)
    query = np.sort(np.array(taken["query"], np.int64))
    out = query_pool.copy() if query_pool is not None else np.zeros(n, bool)
    out[query] = True
    database = np.flatnonzero(~out)
    train = database if protocol.train is None else np.sort(np.array(taken["train"], np.int64))
    if protocol.queries_in_database:
        database = np.setdiff1d(np.arange(n), train)
    return Draw(query, train, database)


def _class_by_class(
    labels: np.ndarray, quotas: dict[str, Quota], may: dict[str, np.ndarray], rng: np.random.Generator
) -> dict[str, list[int]]:
    taken: dict[str, list[int]] = {part: [] for part in quotas}
    used = np.zeros(len(labels), bool)
    for index in range(labels.shape[1]):
        members = rng.permutation(np.flatnonzero(labels[:, index]))
        for part, quota in quotas.items():
            if quota.every_class:
                rows = members[~used[members] & may[part][members]][: quota.of_class(index)]
                used[rows] = True
                taken[part].extend(rows.tolist())
    return taken


def _image_by_image(
    labels: np.ndarray, quotas: dict[str, Quota], may: dict[str, np.ndarray], rng: np.random.Generator
) -> dict[str, list[int]]:
    taken: dict[str, list[int]] = {part: [] for part in quotas}
    room = {
        part: [quota.of_class(index) for index in range(labels.shape[1])]
        for part, quota in sorted(quotas.items(), reverse=True)  # training first, then queries
        if quota.every_class
    }
    for row in rng.permutation(len(labels)).tolist():
        spot = next(
            (
                (part, index)
                for part, free in room.items()
                if may[part][row]
                for index in np.flatnonzero(labels[row]).tolist()
                if free[index]
            ),
            None,
        )
        if spot is not None:
            part, index = spot
            room[part][index] -= 1
            taken[part].append(row)
            if not any(map(any, room.values())):
                break
    return taken


def _fill(
    taken: dict[str, list[int]], quotas: dict[str, Quota], may: dict[str, np.ndarray], rng: np.random.Generator
) -> None:
    """Random unused images up to the totals of quotas that do not go by class alone."""
    for part, quota in quotas.items():
        total = quota.fill_to if quota.every_class else quota.number
        if total is not None and len(taken[part]) < total:
            unused = may[part].copy()
            unused[[row for rows in taken.values() for row in rows]] = False
            taken[part].extend(rng.permutation(np.flatnonzero(unused))[: total - len(taken[part])].tolist())


def _check_filled(
    taken: dict[str, list[int]],
    quotas: dict[str, Quota],
    labels: np.ndarray,
    protocol: Protocol,
    names: tuple[str, ...],
) -> None:
    classes = labels.shape[1]
    if all(len(taken[part]) == quota.total(classes) for part, quota in quotas.items()):
        return
    for index in range(classes):
        wanted = {part: quota.of_class(index) for part, quota in quotas.items() if quota.every_class}
        members = int(labels[:, index].sum())
        if members < sum(wanted.values()):
            name = names[index] if names else index
            numbers = " + ".join(f"{number} {part}" for part, number in wanted.items())
            raise InputError(f"{protocol.name}, class {name}: found {members} images, expected {numbers}")
    found = {part: len(rows) for part, rows in taken.items()}
    wanted = {part: quota.total(classes) for part, quota in quotas.items()}
    raise InputError(f"{protocol.name}: found {found} of {len(labels):,} images, expected {wanted}")


@dataclass(frozen=True)
class SplitReport:
    """What `check_split` found; `str()` prints it.

    sizes, overlaps (images in both, for each pair), relevant_share (of query-database pairs), labels_per_image (mean
    a split), class_counts {split: int64 [c]}, distinct_labels (label vectors a split), without_label (rows a split),
    digest (of the ids of the three splits: equal digests are equal splits).
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

    def __str__(self) -> str:
        parts = tuple(self.sizes)
        lines = [f"data set    {self.name}", f"protocol    {self.protocol}", f"digest      {self.digest}", ""]
        lines.append(f"{'':24}" + "".join(f"{part:>12}" for part in parts))
        lines.append(_row("images", [f"{self.sizes[part]:,}" for part in parts]))
        lines.append(_row("labels an image", [f"{self.labels_per_image[part]:.3f}" for part in parts]))
        lines.append(_row("distinct label vectors", [f"{self.distinct_labels[part]:,}" for part in parts]))
        lines.append(_row("images without label", [f"{self.without_label[part]:,}" for part in parts]))
        for one in parts:
            shared = [f"{self.sizes[one] if one == two else self.overlaps[_pair(one, two)]:,}" for two in parts]
            lines.append(_row(f"in {one} too", shared))
        lines += ["", f"relevant query-database pairs: {self.relevant_share:.4f}", "", "images a class"]
        names = self.class_names or tuple(str(index) for index in range(len(self.class_counts["train"])))
        for index, name in enumerate(names):
            lines.append(_row(name, [f"{int(self.class_counts[part][index]):,}" for part in parts]))
        return "\n".join(lines)


def check_split(dataset: RetrievalDataset, protocol: Protocol | None = None) -> SplitReport:
    """Measures a split and proves it.

    Raises InputError where an id comes twice in a split, where a query is in another split (unless the protocol has
    it so), and, given a protocol, where sizes, class counts or the place of the training rows are not as it says.
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
    )


def relevant_share(query: np.ndarray, database: np.ndarray) -> float:
    """Share of the pairs of rows of uint8 [q, c] and [n, c] that have a label in common.

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
