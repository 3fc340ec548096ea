"""Splits a pool of images by a protocol."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dseh_tf.data.protocol import Protocol, Quota
from dseh_tf.errors import InputError
from dseh_tf.seeding import generator

SPLITS = ("sequential-class", "greedy-image")


@dataclass(frozen=True)
class Draw:
    """The rows of each split, int64 and sorted."""

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
    """Draws the split of a pool of images, as a pure function of the arguments.

    Args:
        labels: uint8 [n, c].
        protocol: The numbers of queries and training images.
        seed: Seed of the draw.
        split: How a number per class is drawn if images have several labels. "sequential-class": class by class,
            its unused images are permuted, the first are queries, the next train (zzs1994/DJSRH:datasets.py).
            "greedy-image": one permutation of all images, each goes to the first of its classes with room, training before
            queries (swuxyj/DeepHash-pytorch:data/nuswide_21/code.py).
        class_names: Class names of the columns of `labels`, for messages.
        query_pool: bool [n], the images that queries are drawn from (ImageNet's validation set); they are in no other
            split.
        no_query: bool [n], images that are never queries, but may be in the training set and the database (photographs
            that NUS-WIDE contains under a second id).

    Raises:
        InputError: The pool or a class has too few images, or the pool is not the protocol's.
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
