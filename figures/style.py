"""A common style for all figures: readable in print and by the colour-blind, with the same colour and marker for a
method everywhere.

Colours are those of Okabe and Ito (without yellow, which vanishes on white). Families differ by line and marker as
well, so that a grey print keeps them apart: deep methods solid with filled markers, those that learn class by class with long
dashes, supervised shallow ones dashed and unsupervised ones dotted with hollow markers, variants of DSEH dash-dotted.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from dseh_tf.files import replacing

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#7F7F7F"
COLOURS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, BLACK, GREY)

SOLID, DASHED, DOTTED, DASH_DOTTED = "-", (0, (4, 1.6)), (0, (1, 1.2)), (0, (5, 1.4, 1, 1.4))
LONG_DASHED = (0, (9, 1.6))


@dataclass(frozen=True)
class MethodStyle:
    """How a method is named and drawn."""

    title: str
    colour: str
    marker: str
    line: Any = SOLID
    hollow: bool = False

    def line_settings(self) -> dict[str, Any]:
        """Keyword arguments of `Axes.plot`."""
        return {
            "color": self.colour,
            "linestyle": self.line,
            "marker": self.marker,
            "markerfacecolor": "white" if self.hollow else self.colour,
            "markeredgecolor": self.colour,
        }


# The order here is the order of rows and legends everywhere: ours, deep rivals, shallow rivals.
METHOD_STYLES: dict[str, MethodStyle] = {
    "dseh": MethodStyle("DSEH", VERMILION, "o"),
    "dseh_s": MethodStyle("DSEH-S", BLUE, "<", DASH_DOTTED),
    "dseh_ss": MethodStyle("DSEH-SS", GREEN, ">", DASH_DOTTED),
    "dseh_l": MethodStyle("DSEH-L", PURPLE, "p", DASH_DOTTED),
    "dseh_a": MethodStyle("DSEH-A", ORANGE, "h", DASH_DOTTED),
    "dsah": MethodStyle("DSAH", GREY, "*"),
    "adsh": MethodStyle("ADSH", BLACK, "X"),
    "daph": MethodStyle("DAPH", ORANGE, "H"),
    "orthohash": MethodStyle("OrthoHash", SKY, "s", LONG_DASHED),
    "dpn": MethodStyle("DPN", GREY, "D", LONG_DASHED),
    "csq": MethodStyle("CSQ", BLACK, "^", LONG_DASHED),
    "greedyhash": MethodStyle("GreedyHash", PURPLE, "v", LONG_DASHED),
    "hashnet": MethodStyle("HashNet", BLUE, "s"),
    "dhn": MethodStyle("DHN", GREEN, "^"),
    "dpsh": MethodStyle("DPSH", PURPLE, "D"),
    "dnnh": MethodStyle("DNNH", SKY, "P"),
    "cnnh": MethodStyle("CNNH", ORANGE, "v"),
    "ssah": MethodStyle("SSAH", BLUE, "d", LONG_DASHED),
    "djsrh": MethodStyle("DJSRH", GREEN, "d"),
    "fasth": MethodStyle("FastH", GREEN, "v", DASHED, hollow=True),
    "sdh": MethodStyle("SDH", BLACK, "s", DASHED, hollow=True),
    "ksh": MethodStyle("KSH", GREY, "^", DASHED, hollow=True),
    "itq_cca": MethodStyle("ITQ-CCA", SKY, "D", DASHED, hollow=True),
    "itq": MethodStyle("ITQ", BLUE, "o", DOTTED, hollow=True),
    "sh": MethodStyle("SH", PURPLE, "P", DOTTED, hollow=True),
    "lsh": MethodStyle("LSH", ORANGE, "x", DOTTED, hollow=True),
}

DATASET_TITLES = {
    "nus_wide_21": "NUS-WIDE",
    "nus_wide_10": "NUS-WIDE-10",
    "imagenet_100": "ImageNet-100",
    "ms_coco": "MS-COCO",
    "cifar10": "CIFAR-10",
    "mirflickr25k": "MIRFlickr-25K",
    "multi_digits": "multi_digits",
}


def method_style(method: str) -> MethodStyle:
    """The method's style; for a method not in the list one that depends on its name alone, so it too stays the same."""
    if method in METHOD_STYLES:
        return METHOD_STYLES[method]
    key = zlib.crc32(method.encode())
    return MethodStyle(method, COLOURS[key % len(COLOURS)], "1234"[key // len(COLOURS) % 4], DASH_DOTTED)


def method_order(method: str) -> tuple[int, str]:
    """Sort key: the order of METHOD_STYLES, unknown methods after it by name."""
    order = list(METHOD_STYLES)
    return (order.index(method) if method in METHOD_STYLES else len(order), method)


def dataset_title(dataset: str) -> str:
    """The name of a data set in print; `corel5k (image lists)` for `image_lists:corel5k`."""
    kind, _, name = dataset.partition(":")
    if name and kind in ("image_lists", "image_folder"):
        return f"{name} ({kind.replace('_', ' ')})"
    return DATASET_TITLES.get(dataset, dataset)


def apply() -> None:
    """Sets the style for everything drawn from here on."""
    plt.rcdefaults()
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it reports every letter that a PDF takes in
    plt.rcParams.update(
        {
            "font.family": "DejaVu Sans",  # shipped with matplotlib: the same letters on every machine
            "text.parse_math": False,  # a name with a dollar sign is not a formula
            "font.size": 9,
            "axes.titlesize": 10,
            "axes.labelsize": 9,
            "legend.fontsize": 8,
            "xtick.labelsize": 8,
            "ytick.labelsize": 8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.8,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#DDDDDD",
            "grid.linewidth": 0.6,
            "lines.linewidth": 1.5,
            "lines.markersize": 4.5,
            "lines.markeredgewidth": 1.0,
            "legend.frameon": False,
            "legend.handlelength": 3.0,
            "figure.dpi": 100,
            "savefig.dpi": 200,
            "savefig.bbox": "tight",
            "savefig.pad_inches": 0.05,
            "figure.constrained_layout.use": True,
            "pdf.fonttype": 42,  # real letters, searchable and editable
        }
    )


def legend_outside(figure: Figure, axes: Any, title: str) -> None:
    """The legend outside the axes, where it covers no line: at the right, or below on a page."""
    handles, labels = axes.get_legend_handles_labels()
    if on_page():
        figure.legend(
            handles, labels, loc="outside lower left", title=title, alignment="left", ncols=_page_columns(labels),
            handlelength=2.2, columnspacing=1.0,
        )  # fmt: skip
    else:
        figure.legend(handles, labels, loc="outside right upper", title=title, alignment="left")


PAGE_WIDTH = 4.6  # inches: letters of 9 points stay legible where the picture is shrunk to the width of a phone
_LEGEND_LINE = 0.19  # inches
_formats: tuple[str, ...] = ("png", "pdf")
_on_page = False


@contextmanager
def formats(*endings: str) -> Iterator[None]:
    """Inside, `save` writes these formats only."""
    global _formats
    before, _formats = _formats, endings
    try:
        yield
    finally:
        _formats = before


@contextmanager
def for_page() -> Iterator[None]:
    """Inside, figures are drawn for a web page: PNG alone, narrow, the legend below."""
    global _on_page
    before, _on_page = _on_page, True
    try:
        with formats("png"):
            yield
    finally:
        _on_page = before


def on_page() -> bool:
    """Whether figures are drawn for a web page."""
    return _on_page


def page_size(height: float, labels: Sequence[str] = ()) -> tuple[float, float]:
    """Inches of a figure on a page: `height`, and the lines of a legend of these labels below it."""
    lines = -(-len(labels) // _page_columns(labels)) + 1 if labels else 0
    return PAGE_WIDTH, height + _LEGEND_LINE * lines


def _page_columns(labels: Sequence[str]) -> int:
    """Columns of a legend that is no wider than a page's figure."""
    return 4 if max(map(len, labels)) <= 10 else 2


def save(figure: Figure, out: Path, name: str) -> list[Path]:
    """Writes `out/name.png` and `out/name.pdf`, the same bytes for the same figure, and closes it."""
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for ending in _formats:
        metadata = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Producer": None}}[ending]
        path = out / f"{name}.{ending}"
        with replacing(path) as partial:
            figure.savefig(partial, format=ending, metadata=metadata)
        paths.append(path)
    plt.close(figure)
    return paths


def file_name(*parts: object) -> str:
    """A file name of letters, digits, `_`, `-` and `.` from the given parts; empty parts are left out."""
    text = "_".join(str(part) for part in parts if part != "")
    return "".join(c if c.isalnum() or c in "_-." else "-" for c in text)


def methods_in_order(methods: Iterable[str]) -> list[str]:
    return sorted(set(methods), key=method_order)
