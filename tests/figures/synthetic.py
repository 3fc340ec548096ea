"""Run folders made up for the tests: codes from noisy class prototypes, counts by plain numpy, no training."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

NOISE = {"dseh": 0.14, "itq_cca": 0.24, "itq": 0.3, "lsh": 0.38}  # share of flipped bits


@dataclass(frozen=True)
class World:
    """Labels of the three splits; the training rows are the first of the database."""

    classes: int = 5
    n_train: int = 120
    n_query: int = 15
    n_database: int = 300

    def labels(self, part: str) -> np.ndarray:
        rng = np.random.default_rng(zlib.crc32(part.encode()))
        n = self.n_query if part == "query" else self.n_database
        labels = (rng.random((n, self.classes)) < 0.25).astype(np.uint8)
        labels[np.arange(n), rng.integers(0, self.classes, n)] = 1
        return labels


def codes(labels: np.ndarray, bits: int, noise: float, rng: np.random.Generator, prototypes: np.ndarray) -> np.ndarray:
    """int8 ±1 [n, bits]: the sign of the summed prototypes of an item's classes, a share `noise` of bits flipped."""
    clean = np.where(labels.astype(float) @ prototypes[:, :bits] >= 0, 1, -1)
    return np.where(rng.random(clean.shape) < noise, -clean, clean).astype(np.int8)


def pack(signs: np.ndarray) -> np.ndarray:
    """Bit k of a code is bit k % 8 of byte k // 8, 1 for +1."""
    return np.packbits(signs > 0, axis=1, bitorder="little")


def counted(query: np.ndarray, database: np.ndarray, relevant: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(relevant, total) int64 [q, K + 1] from ±1 codes and a bool matrix [q, n]."""
    bits = query.shape[1]
    distance = (bits - query.astype(int) @ database.T.astype(int)) // 2
    steps = np.arange(bits + 1)
    total = np.stack([(row[:, None] == steps).sum(0) for row in distance])
    hits = np.stack(
        [((row[:, None] == steps) & good[:, None]).sum(0) for row, good in zip(distance, relevant, strict=True)]
    )
    return hits.astype(np.int64), total.astype(np.int64)


def expected_map(relevant: np.ndarray, total: np.ndarray, trials: int = 0) -> float:
    """MAP as the expectation over ties, by the definition: position by position within each block of equal distance."""
    values = []
    for hits, items in zip(relevant, total, strict=True):
        before_items = before_hits = 0
        sum_precision = 0.0
        for h, n in zip(hits, items, strict=True):
            for position in range(n):
                # the item there is relevant with probability h / n; of the `position` before it, the expected hits given that
                mates = position * (h - 1) / (n - 1) if n > 1 else 0.0
                sum_precision += h / n * (before_hits + mates + 1) / (before_items + position + 1)
            before_items, before_hits = before_items + n, before_hits + h
        values.append(sum_precision / before_hits if before_hits else 0.0)
    return float(np.mean(values))


def semantic_features(labels: np.ndarray, rng: np.random.Generator, width: int) -> np.ndarray:
    """float16 [n, width], non-negative like features after ReLU."""
    directions = rng.normal(size=(labels.shape[1], width))
    return np.maximum(0, labels @ directions + 0.15 * rng.normal(size=(len(labels), width))).astype(np.float16)


def losses(rng: np.random.Generator, steps: int) -> dict[str, np.ndarray]:
    traces = {}
    for phase, terms in {
        "labnet": ("semantic", "code", "quantization", "label"),
        "imgnet": ("semantic", "code"),
    }.items():
        for round_ in range(2):
            falls = np.exp(-np.arange(steps) / (0.2 * steps)) / (1 + round_)
            parts = {
                term: ((0.05 + (0.7 if i < 2 else 0.02) * falls) * rng.uniform(0.85, 1.15, steps)).astype(np.float32)
                for i, term in enumerate(terms)
            }
            traces |= {
                f"{phase}/{round_}/total": sum(parts.values()),
                **{f"{phase}/{round_}/{t}": v for t, v in parts.items()},
            }
    return traces


def thumbnails(world: World, ids: dict[str, np.ndarray], order: np.ndarray, picture) -> dict[str, np.ndarray]:
    """Of the first dozen queries and their first ten items; picture(id) gives uint8 [h, w, 3]."""
    rows = np.arange(min(12, world.n_query))
    database_rows = order[rows, :10]
    return {
        "query_rows": rows,
        "query_ids": ids["query"][rows],
        "query_images": np.stack([picture(name) for name in ids["query"][rows]]),
        "database_rows": database_rows.astype(np.int64),
        "database_ids": ids["database"][database_rows],
        "database_images": np.stack([[picture(name) for name in row] for row in ids["database"][database_rows]]),
    }


def flat_picture(name: str) -> np.ndarray:
    return np.full((12, 12, 3), zlib.crc32(str(name).encode()) % 256, np.uint8)


def write_run(
    folder: Path,
    world: World,
    method: str = "itq",
    bits: int = 16,
    seed: int = 0,
    dataset: str = "multi_digits",
    preset: str = "release",
    picture=flat_picture,
    labels_only: bool = False,
    steps: int = 60,
    width: int = 64,
) -> dict:
    """Writes one run folder as `experiments.run` does; returns its result.json."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng([seed, bits, zlib.crc32(method.encode())])
    prototypes = np.random.default_rng(5).normal(size=(world.classes, 128))
    labels = {part: world.labels(part) for part in ("query", "database")}
    ids = {part: np.array([f"{part}/{i:05d}" for i in range(len(rows))]) for part, rows in labels.items()}
    deep = method.startswith("dseh")
    result = {"dataset": dataset, "method": method, "bits": bits, "preset": preset, "seed": seed,
              "n_train": world.n_train, "n_query": world.n_query, "n_database": world.n_database}  # fmt: skip
    if deep:
        result |= {"map_labels": 0.9 + 0.01 * seed, "map_labels_database": "database_minus_train",
                   "distinct_label_codes": 20 + seed, "distinct_label_vectors": 30}  # fmt: skip
    if not labels_only:
        signs = {part: codes(labels[part], bits, NOISE.get(method, 0.2), rng, prototypes) for part in labels}
        good = labels["query"].astype(int) @ labels["database"].T.astype(int) > 0
        hits, total = counted(signs["query"], signs["database"], good)
        result |= {"map": expected_map(hits, total), "map_stable_order": expected_map(hits, total)}
        np.savez_compressed(
            folder / "codes.npz", bits=bits, **{f"{part}_codes": pack(signs[part]) for part in labels},
            **{f"{part}_labels": labels[part] for part in labels}, **{f"{part}_ids": ids[part] for part in labels},
        )  # fmt: skip
        np.savez_compressed(folder / "counts.npz", relevant=hits, total=total)
        distance = (bits - signs["query"].astype(int) @ signs["database"].T.astype(int)) // 2
        order = np.argsort(distance, axis=1, kind="stable")
        if picture is not None:
            np.savez_compressed(folder / "thumbnails.npz", **thumbnails(world, ids, order, picture))
    if deep:
        train = labels["database"][: world.n_train]
        networks = ("labnet",) if labels_only else ("labnet", "imgnet")
        np.savez_compressed(
            folder / "semantic_features.npz", train_ids=ids["database"][: world.n_train],
            **{network: semantic_features(train, rng, width) for network in networks},
        )  # fmt: skip
        np.savez_compressed(folder / "losses.npz", **losses(rng, steps))
    config = {name: result[name] for name in ("dataset", "method", "bits", "preset", "seed")}
    config |= {"settings": {"learning_rate": 1e-3}, "environment": {"versions": {"numpy": np.__version__}}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "result.json").write_text(json.dumps(result))
    return result
