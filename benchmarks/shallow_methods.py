"""Fit times of ITQ, SDH and KSH compared with alternatives, in one run, each pair in turns.

    python -m benchmarks.shallow_methods [--rows=10000] [--columns=4096] [--bits=32] [--pair_rows=2000] [--repeats=3]

ITQ is compared with faiss's ITQTransform (extra `search`), both from raw features to a rotation in 50 iterations. For
SDH and KSH no installable package exists; they are compared with plain naive versions, written here from the published
algorithms with dense matrices, on the same data with the same settings. Features are synthetic, with class structure.
Times are seconds, the minimum of the repeats; the last column is the time of the alternative divided by ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import scipy.linalg

from dseh_tf.arrays import unit_rows
from dseh_tf.data import RetrievalDataset
from dseh_tf.methods.shallow.base import random_stream
from dseh_tf.methods.shallow.itq import ITQ
from dseh_tf.methods.shallow.kernels import choose_anchors, squared_distances
from dseh_tf.methods.shallow.ksh import KSH, refine_projection
from dseh_tf.methods.shallow.sdh import SDH
from experiments import program

CLASSES = 21


def synthetic(rows: int, columns: int, seed: int = 0) -> RetrievalDataset:
    """Non-negative features around sums of class centres; two or three labels per row, as in multi-label photographs."""
    rng = random_stream(seed)
    labels = (rng.random((rows, CLASSES)) < 0.08).astype(np.uint8)
    labels[np.arange(rows), rng.integers(CLASSES, size=rows)] = 1
    centres = 0.4 * rng.standard_normal((CLASSES, columns), np.float32)
    features = np.maximum(labels @ centres + rng.standard_normal((rows, columns), np.float32), 0)
    return RetrievalDataset.from_arrays((features, labels), (features[:1], labels[:1]))


def faiss_itq(features: np.ndarray, bits: int, threads: int) -> None:
    import faiss

    faiss.omp_set_num_threads(threads)
    transform = faiss.ITQTransform(features.shape[1], bits, True)
    transform.train(np.ascontiguousarray(features))


def naive_sdh(features: np.ndarray, labels: np.ndarray, bits: int, settings) -> None:
    """The l2 algorithm as published: a fresh kernel Gram matrix each time, one column of the codes left out at a time."""
    x = unit_rows(features)
    anchors = choose_anchors(x, settings.anchors, random_stream(0))
    phi = np.exp(-squared_distances(x, anchors) / (2 * settings.width**2))
    phi = np.hstack([phi, np.ones((len(x), 1))])
    labels = labels.astype(np.float64)
    codes = np.where(random_stream(0, 1).standard_normal((len(x), bits)) >= 0, 1.0, -1.0)

    def ridge(inputs: np.ndarray, targets: np.ndarray, weight: float) -> np.ndarray:
        return scipy.linalg.solve(inputs.T @ inputs + weight * np.eye(inputs.shape[1]), inputs.T @ targets)

    weights, kernel_weights = ridge(codes, labels, settings.label_ridge), ridge(phi, codes, settings.kernel_ridge)
    for _ in range(settings.iterations):
        wanted = labels @ weights.T + settings.code_penalty * (phi @ kernel_weights)
        for _ in range(settings.sweeps):
            before = codes.copy()
            for k in range(bits):
                others, other_weights = np.delete(codes, k, axis=1), np.delete(weights, k, axis=0)
                codes[:, k] = np.where(wanted[:, k] - others @ other_weights @ weights[k] >= 0, 1.0, -1.0)
            if np.array_equal(before, codes):
                break
        weights, kernel_weights = ridge(codes, labels, settings.label_ridge), ridge(phi, codes, settings.kernel_ridge)


def naive_ksh(features: np.ndarray, labels: np.ndarray, bits: int, settings) -> None:
    """As published: the residual as a dense n x n matrix, updated and projected again for each bit."""
    x = unit_rows(features)
    anchors = choose_anchors(x, settings.anchors, random_stream(0))
    distances = squared_distances(x, anchors)
    phi = np.exp(-distances / (2 * settings.width_factor * distances.mean()))
    phi -= phi.mean(axis=0)
    residual = bits * np.where(labels.astype(np.float64) @ labels.T > 0, 1.0, -1.0)
    n, m = phi.shape
    scatter = phi.T @ phi + 1e-9 * np.trace(phi.T @ phi) / m * np.eye(m)
    for _ in range(bits):
        start = scipy.linalg.eigh(phi.T @ residual @ phi, scatter)[1][:, -1]
        start *= np.sqrt(n / (start @ scatter @ start))
        better, _ = refine_projection(phi, lambda v, r=residual: r @ v, start, settings.iterations, settings.tolerance)
        candidates = [np.where(phi @ a >= 0, 1.0, -1.0) for a in (start, better)]
        y = max(candidates, key=partial(quadratic, residual))
        residual = residual - np.outer(y, y)


def quadratic(matrix: np.ndarray, vector: np.ndarray) -> float:
    """v^T M v."""
    return float(vector @ matrix @ vector)


def rows_of(dataset: RetrievalDataset) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of the training rows."""
    assert dataset.train.features is not None
    return dataset.train.features, dataset.train.labels


def in_turns(ours: Callable[[], object], rival: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Least seconds of each, alternating, so that other work on the machine meets both."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for kept, run in zip(times, (ours, rival), strict=True):
            start = time.perf_counter()
            run()
            kept.append(time.perf_counter() - start)
    return min(times[0]), min(times[1])


def main() -> None:
    parser = program.ArgumentParser(__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--columns", type=int, default=4096)
    parser.add_argument("--bits", type=int, default=32)
    parser.add_argument("--pair_rows", type=int, default=2000, help="rows for KSH, whose naive version is quadratic")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="threads of faiss; for numpy, set OPENBLAS_NUM_THREADS")
    flags = parser.parse_args()

    data = synthetic(flags.rows, flags.columns)
    fewer = data.replace(train=data.train.take(np.arange(min(flags.pair_rows, flags.rows))))
    x, y = rows_of(data)
    few_x, few_y = rows_of(fewer)
    bits = flags.bits
    sdh, ksh = SDH(bits), KSH(bits)
    pairs = {
        "itq": (data, "faiss ITQTransform", ITQ(bits), lambda: faiss_itq(x, bits, flags.threads)),
        "sdh": (data, "naive version", sdh, lambda: naive_sdh(x, y, bits, sdh.settings)),
        "ksh": (fewer, "naive version", ksh, lambda: naive_ksh(few_x, few_y, bits, ksh.settings)),
    }
    print(f"{'method':8s}{'rows':>8s}{'columns':>9s}{'bits':>6s}{'ours':>9s}{'rival':>9s}  rival / ours", flush=True)
    for name, (dataset, rival_name, method, rival) in pairs.items():
        try:
            ours, theirs = in_turns(partial(method.fit, dataset), rival, flags.repeats)
        except ImportError:
            print(f"{name:8s}faiss is not installed: pip install 'dseh_tf[search]'")
            continue
        rows, columns = rows_of(dataset)[0].shape
        print(
            f"{name:8s}{rows:8d}{columns:9d}{bits:6d}{ours:9.2f}{theirs:9.2f}  {theirs / ours:.2f}  ({rival_name})",
            flush=True,
        )


if __name__ == "__main__":
    main()
