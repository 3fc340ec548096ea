"""The names of a run's label columns, from the run or from its data set.

A run records them in result.json. Older runs take them from another run on the same data, from `words.txt` or
`classes.txt` next to unchanged image lists, or from the embedded data set.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from dseh_tf.data.builders.multi_digits.compose import DIGIT_WORDS
from dseh_tf.data.readers import image_lists
from dseh_tf.data.readers.class_names import read_class_names
from dseh_tf.errors import InputError
from dseh_tf.runs import Run


def class_names(run: Run, count: int, others: Iterable[Run] = ()) -> list[str] | range:
    """The names of the label columns.

    Args:
        run: The run.
        count: Number of its label columns.
        others: Runs that may be on the same data.

    Returns:
        `count` names, or the numbers of the columns if nothing names them.
    """
    same = [other for other in others if _data(other) == _data(run)]
    recorded = [each.result.get("class_names", []) for each in (run, *same)]
    for names in (*recorded, _of_lists(run, count), _embedded(run)):
        if len(names) == count:
            return list(names)
    return range(count)


def _data(run: Run) -> tuple[Any, ...]:
    """What decides the label columns: the data set, its files, and how it was drawn."""
    return run.dataset, run.data_identity, run.config.get("data")


def _of_lists(run: Run, count: int) -> tuple[str, ...]:
    """From the folder of the image lists, if its lists are still those of the run."""
    place, lists = run.config.get("lists_dir"), run.config.get("lists")
    if run.result["dataset"] != "image_lists" or not place or not lists:
        return ()
    try:
        return read_class_names(Path(place), count) if _digest(place) == lists else ()
    except (InputError, OSError, ValueError):  # the report then shows numbers
        return ()


@cache
def _digest(lists_dir: str) -> str:
    return image_lists.digest(Path(lists_dir))


def _embedded(run: Run) -> tuple[str, ...]:
    return DIGIT_WORDS if run.result["dataset"] == "multi_digits" else ()
