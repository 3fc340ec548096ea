"""LabNet on labels of NUS-WIDE's full size, from label files in the official formats to n_h and map_l. No image is
needed.

    python -m benchmarks.label_scale [--epochs=2]

nus_wide_21: 269,648 rows of 81 concepts in NUS-WIDE's own files, of which 195,834 have one of the 21 most frequent;
`experiments.run --phases=labnet` reads them, draws 2,100 queries and 10,500 training rows, trains LabNet, encodes all label
vectors and evaluates the queries against the database without the training rows. lists_81: the same for image lists of
269,648 rows and all 81 concepts. Then 2,100 queries are evaluated against 193,734 items, MAP in both orders included.
Prints seconds, and the peak memory of each process.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from dseh_tf.retrieval import evaluate
from experiments import program

IMAGES, CONCEPTS, POOL, FREQUENT = 269_648, 81, 195_834, 21
QUERIES, TRAIN, BITS = 2_100, 10_500, 32


def concept_labels(rng: np.random.Generator) -> np.ndarray:
    """uint8 [269,648, 81]: frequencies fall off from .3 to .0005; exactly 195,834 rows have one of the first 21."""
    frequency = np.concatenate([np.geomspace(0.3, 0.05, FREQUENT), np.geomspace(0.02, 0.0005, CONCEPTS - FREQUENT)])
    labels = (rng.random((IMAGES, CONCEPTS), np.float32) < frequency).astype(np.uint8)
    rows = rng.permutation(IMAGES)
    inside, outside = rows[:POOL], rows[POOL:]
    labels[outside, :FREQUENT] = 0
    bare = inside[~labels[inside, :FREQUENT].any(axis=1)]
    labels[bare, rng.integers(0, FREQUENT, len(bare))] = 1
    return labels


def write_official(root: Path, labels: np.ndarray) -> None:
    """The files that the reader of NUS-WIDE takes labels from."""
    for folder in ("ImageList", "Groundtruth/AllLabels"):
        (root / folder).mkdir(parents=True)
    names = (f"category{i % 704}\\{i % 500:04d}_{10_000_000 + i}.jpg" for i in range(IMAGES))
    (root / "ImageList" / "Imagelist.txt").write_text("\n".join(names) + "\n")
    (root / "Concepts81.txt").write_text("".join(f"concept{i}\n" for i in range(CONCEPTS)))
    text = np.full((IMAGES, 2), ord("\n"), np.uint8)
    for column in range(CONCEPTS):
        text[:, 0] = labels[:, column] + ord("0")
        (root / "Groundtruth" / "AllLabels" / f"Labels_concept{column}.txt").write_bytes(text.tobytes())


def write_lists(root: Path, labels: np.ndarray) -> None:
    """train.txt, test.txt and database.txt of all 81 concepts; a row without any gets the rarest."""
    root.mkdir()
    labels = labels.copy()
    labels[~labels.any(axis=1), -1] = 1
    lines = [f"images/{i:06d}.jpg {' '.join(row)}\n" for i, row in enumerate(labels.astype("U1").tolist())]
    parts = {"test": lines[:QUERIES], "train": lines[QUERIES : QUERIES + TRAIN], "database": lines[QUERIES:]}
    for name, part in parts.items():
        (root / f"{name}.txt").write_text("".join(part))


def run(name: str, arguments: list[str], workdir: Path) -> None:
    command = [
        sys.executable, "-m", "experiments.run", *arguments, "--phases=labnet", "--noprogress", f"--bits={BITS}",
        f"--workdir={workdir}",
    ]  # fmt: skip
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    errors = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        raise SystemExit(errors)
    result = json.loads((workdir / "result.json").read_text())
    print(
        f"{name}: {result['n_train']:,} train, {result['n_query']:,} query, {result['n_database']:,} database; "
        f"{seconds:.1f} s in all ({usage.ru_utime + usage.ru_stime:.1f} CPU s), of which data and start-up "
        f"{result['prepare_seconds']:.1f}, training with its evaluation {result['train_seconds']:.1f}; peak memory "
        f"{usage.ru_maxrss / 2**20:.2f} GiB; n_h {result['distinct_label_codes']:,} of {result['distinct_label_vectors']:,}, "
        f"map_l {result['map_labels']:.4f}"
    )


def evaluation(labels: np.ndarray, rng: np.random.Generator) -> None:
    """The counting alone, on codes that a random projection makes of the labels."""
    pool = labels[labels[:, :FREQUENT].any(axis=1)][:, :FREQUENT]
    codes = np.where(pool @ rng.standard_normal((FREQUENT, BITS), np.float32) >= 0, 1, -1).astype(np.int8)
    evaluate(codes[:10], codes[10:20], pool[:10], pool[10:20])  # compiled
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    report = evaluate(codes[:QUERIES], codes[QUERIES:], pool[:QUERIES], pool[QUERIES:])
    value, stable = report.map, report.map_stable_order
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    print(
        f"evaluation: {QUERIES:,} queries against {len(pool) - QUERIES:,} items, {BITS} bits: {seconds:.2f} s "
        f"({after.ru_utime - before.ru_utime:.2f} CPU s), MAP {value:.4f}, in database order {stable:.4f}"
    )


def main() -> None:
    parser = program.ArgumentParser(__doc__)
    parser.add_argument("--epochs", type=int, default=2, help="LabNet epochs")
    epochs = f"--labnet_epochs={parser.parse_args().epochs}"
    rng = np.random.default_rng(0)
    labels = concept_labels(rng)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        evaluation(labels, rng)
        write_official(root / "nus_wide", labels)
        run("nus_wide_21", ["--dataset=nus_wide_21", f"--data_dir={root}", epochs], root / "run_21")
        write_lists(root / "lists", labels)
        run("lists_81", ["--dataset=image_lists", f"--lists_dir={root / 'lists'}", epochs], root / "run_81")


if __name__ == "__main__":
    main()
