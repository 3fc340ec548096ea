"""The report's section on one data set: tables, figures with captions, and the results of queries."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from dseh_tf.retrieval import Report
from figures import (
    ablation_table,
    code_correlation,
    curves,
    direction_table,
    map_table,
    pr_curve,
    precision_at_n,
    seconds_table,
    semantic_features,
    style,
    tables,
    top5k_table,
    top_ten,
    training_curves,
)
from figures.cli import Draw
from figures.report_runs import notes_of
from figures.runs import Runs

PICTURE_BITS = 32


@dataclass(frozen=True)
class Kind:
    """A kind of figure.

    Attributes:
        title: Its heading.
        draw: What draws it.
        caption: One line on what it shows and how to read it.
        small: Whether it is one small picture for each method.
    """

    title: str
    draw: Draw
    caption: str
    small: bool = False


KINDS = (
    Kind(
        "Precision and recall",
        pr_curve.draw,
        "Precision over recall of all items within a Hamming radius: one point per radius, small radii on the left; queries and "
        "seeds are pooled. Higher is better. A radius includes all items at its distance, so ties need no rule.",
    ),
    Kind(
        "Precision at N",
        precision_at_n.draw,
        "Fraction of relevant items among the first N returned, averaged over queries and seeds, in expectation over all "
        "orders of items at the same Hamming distance. Higher is better.",
    ),
    Kind(
        "Code correlation",
        code_correlation.draw_matrices,
        "One cell for each pair of bits: their |correlation| over the database codes, first seed, from 0 (pale yellow) to 1 "
        "(black); blue-grey: a constant bit. Pale off-diagonal cells are good: no bit repeats another. mAC is their mean.",
        small=True,
    ),
    Kind(
        "Semantic features",
        semantic_features.draw,
        "One line for each of 100 training rows, one column for each principal component (PCA of all training rows, computed "
        "separately for each network). Neighbouring lines with equal labels should look alike.",
    ),
    Kind(
        "Training",
        training_curves.draw,
        "The loss terms at each step (faint) and their running mean (strong), first seed. A line should fall and then level "
        "off; a line that rises or never changes may indicate a problem.",
    ),
)


@dataclass(frozen=True)
class Image:
    """A picture as a data URI, and what it shows in words."""

    source: str
    alternative: str


@dataclass(frozen=True)
class Plot:
    """A figure of one picture or of several, and its caption."""

    kind: Kind
    images: list[Image]


@dataclass(frozen=True)
class DataSet:
    """A section.

    Attributes:
        anchor: Its id on the page.
        title: The name of the data set.
        bits: The code length of plots and queries.
        notes: Differences between the runs.
        tables: Tables over all code lengths.
        plots: Figures at `bits`.
        queries: What each method returns for a few queries, at `bits`.
    """

    anchor: str
    title: str
    bits: int
    notes: list[str]
    tables: list[tables.Table]
    plots: list[Plot]
    queries: list[top_ten.Query]


def data_set(runs: Runs, dataset: str, anchor: str) -> DataSet:
    here = runs.of(dataset=dataset)
    bits = PICTURE_BITS if PICTURE_BITS in here.bits else here.bits[-1]
    pictured = here.of(bits=bits)
    title = style.dataset_title(dataset)
    return DataSet(
        anchor, title, bits, notes_of(runs, dataset), _tables(here, title), _plots(pictured, title, bits),
        top_ten.queries(pictured, here),
    )  # fmt: skip


def _tables(here: Runs, title: str) -> list[tables.Table]:
    """The data set's tables; its name and its notes are in the section's head and not repeated."""
    builders = (
        map_table.build,
        direction_table.build,
        _top5k,
        code_correlation.build,
        seconds_table.build,
        ablation_table.build,
    )
    return [
        replace(
            table,
            title=table.title.replace(f" on {title}", "", 1),
            notes=[note for note in table.notes if note not in here.notes],
        )
        for build in builders
        for table in build(here)
    ]


def _top5k(runs: Runs) -> list[tables.Table]:
    """The Top-5K table, unless it would only repeat MAP."""
    return top5k_table.build(runs.ranked().where(lambda run: Report(run.counts).database_size > top5k_table.RETURNED))


def _plots(runs: Runs, title: str, bits: int) -> list[Plot]:
    plots = []
    with TemporaryDirectory() as folder, style.for_page():
        for kind in KINDS:
            paths = kind.draw(runs, Path(folder))
            images = [Image(_png_uri(path), _alternative(kind, path, runs, title, bits)) for path in paths]
            plots += [Plot(kind, images)] if images else []
    return plots


def _alternative(kind: Kind, path: Path, runs: Runs, title: str, bits: int) -> str:
    """`Precision at N on NUS-WIDE, 32 bits: DSEH, CSQ`; of a figure of one method, that method; with its direction."""
    between = next((d for d in curves.DIRECTIONS if path.stem.endswith("_" + d.replace("->", "-to-"))), None)
    if between:
        shown = runs.where(lambda run: between in run.directions).variants
        return (
            f"{kind.title} on {title}, {between}, {bits} bits: {', '.join(runs.title(*variant) for variant in shown)}"
        )
    endings = {"_" + style.file_name(run.method, run.preset, run.bits): (run.method, run.preset) for run in runs}
    own = max((ending for ending in endings if path.stem.endswith(ending)), key=len, default="")
    shown = [endings[own]] if own else runs.ranked().variants
    return f"{kind.title} on {title}, {bits} bits: {', '.join(runs.title(*variant) for variant in shown)}"


def _png_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
