"""Fig. 5: the semantic features of LabNet and of ImgNet as two heat maps, black-red-yellow-white.

    python -m figures.semantic_features --runs=runs --out=out --bits=32

PCA is fitted on the features of all training rows, each network's on its own (100 centred points alone have rank 99).
Shown are 100 rows, the same in both maps, drawn from a fixed seed, by their first 100 principal components, with one
colour scale. Rows are sorted by their labels where the run folder knows them, and the figure says whether they are.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA

from dseh_tf.runs import Run, contents
from dseh_tf.runs.contents import NETWORKS
from figures import cli, style
from figures.runs import Runs

ROWS = COMPONENTS = 100
SAMPLE_SEED = 0


def principal_components(features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """float64 [rows, min(100, n - 1, rank)]: the given rows in the principal components of all rows [n, d].

    Components whose variance is nothing but rounding are left out: they would show noise as structure.
    """
    wide = features.astype(np.float64)
    pca = PCA(n_components=min(COMPONENTS, len(wide), wide.shape[1]), svd_solver="covariance_eigh").fit(wide)
    variance = pca.explained_variance_
    # float16 features are rounded to about 1e-3 of their size
    kept = max(1, int((variance > 1e-7 * variance[0]).sum()))
    return pca.transform(wide[rows])[:, :kept]


def sample_rows(n: int, labels: np.ndarray | None) -> np.ndarray:
    """100 of n rows (or all, if there are fewer), sorted by label vector if labels [n, c] are known."""
    rows = np.sort(np.random.Generator(np.random.Philox(key=[SAMPLE_SEED, n])).permutation(n)[:ROWS])
    if labels is None:
        return rows
    # First class first; lexsort's last key is the most important one.
    return rows[np.lexsort(tuple(1 - labels[rows].T[::-1].astype(int)))]


def training_labels(run: Run, train_ids: np.ndarray) -> np.ndarray | None:
    """uint8 [n_train, c] looked up in the database by id; None if a training row is not in it."""
    if not run.has("codes"):
        return None
    stored = run.arrays("codes", ("database_ids", "database_labels"))
    order = np.argsort(stored["database_ids"])
    if not len(order):
        return None
    ids = stored["database_ids"][order]
    at = np.searchsorted(ids, train_ids).clip(max=len(ids) - 1)
    return stored["database_labels"][order[at]] if (ids[at] == train_ids).all() else None


def draw_run(run: Run, out: Path, title: str) -> list[Path]:
    """Draws one run. Raises InputError if the features are not [n_train, d]."""
    stored = contents.semantic_features(run)
    ids, present = stored.get("train_ids"), {name: stored[name] for name in NETWORKS if name in stored}
    if ids is None or not present:
        return []
    labels = training_labels(run, ids)
    rows = sample_rows(len(ids), labels)
    maps = {name: principal_components(features, rows) for name, features in present.items()}
    low, high = np.percentile(np.concatenate([each.ravel() for each in maps.values()]), (1, 99))
    size = style.page_size(3.6) if style.on_page() else (0.9 + 3.1 * len(maps), 3.9)
    figure, panels = plt.subplots(1, len(maps), figsize=size, squeeze=False, sharey=True)
    for axes, (name, values) in zip(panels[0], maps.items(), strict=True):
        image = axes.imshow(
            values, cmap="hot", vmin=low, vmax=high, aspect="auto", interpolation="nearest", rasterized=True,
            extent=(0.5, values.shape[1] + 0.5, len(rows) + 0.5, 0.5),
        )  # fmt: skip
        short = "" if values.shape[1] == COMPONENTS else f" (all {values.shape[1]})"
        axes.set(title=f"{NETWORKS[name]} features", xlabel=f"Principal component{short}")
        axes.grid(visible=False)
    order = "sorted by label" if labels is not None else "in training order"
    panels[0][0].set_ylabel(f"{len(rows)} training rows, {order}")
    place = {"location": "bottom", "shrink": 0.8} if style.on_page() else {"shrink": 0.9}
    bar = figure.colorbar(image, ax=panels[0].tolist(), extend="both", aspect=30, **place)
    bar.set_label("Component value, 1st to 99th percentile")
    figure.suptitle(title if style.on_page() else f"Semantic features: {title}", fontsize=10)
    return style.save(figure, out, style.file_name("semantic_features", run.dataset, run.method, run.preset, run.bits))


def draw(runs: Runs, out: Path) -> list[Path]:
    """One figure for every data set, method and code length with semantic features: the run of the lowest seed."""
    return [path for run in first_seeds(runs, "semantic_features") for path in draw_run(run, out, run_title(runs, run))]


def first_seeds(runs: Runs, needed: str) -> list[Run]:
    """For each data set, method, preset and code length the run of the lowest seed that has the file `needed`.npz."""
    having = runs.where(lambda run: run.has(needed))
    chosen: dict[tuple, Run] = {}
    for run in sorted(having, key=lambda r: r.seed):
        chosen.setdefault((run.dataset, run.method, run.preset, run.bits), run)
    return sorted(chosen.values(), key=lambda r: (r.dataset, *style.method_order(r.method), r.preset, r.bits))


def run_title(runs: Runs, run: Run) -> str:
    """`DSEH on multi_digits, 32 bits, seed 0`; on a page, whose headings say the rest, `DSEH, seed 0`."""
    method = runs.title(run.method, run.preset)
    if style.on_page():
        return f"{method}, seed {run.seed}"
    return f"{method} on {style.dataset_title(run.dataset)}, {run.bits} bits, seed {run.seed}"


if __name__ == "__main__":
    cli.program(draw, needs=("semantic_features", "codes"))
