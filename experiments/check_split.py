"""Prints and proves a data set's split: sizes, labels, classes, relevant pairs, what overlaps what.

    python -m experiments.check_split --dataset=nus_wide_21 --data_dir=/data/nus_wide

Exit code 2 and one line on standard error where the protocol is broken or the data is not as it should be. The images
are not decoded; with `--images` the files must be there, and queries whose file stands in train or database under
another id, byte for byte, are counted.
"""

from __future__ import annotations

from typing import Any

from absl import flags

from dseh_tf.data import catalog, image_checks
from dseh_tf.data.check_split import check_split
from experiments import data_flags, program

_IMAGES = flags.DEFINE_bool("images", False, "Ask for the image files too, not only for labels.")


def main(_: list[str]) -> None:
    name = data_flags.DATASET.value
    options = data_flags.options(labels_only=not _IMAGES.value)
    dataset = catalog.load(name, options)
    report = check_split(dataset, catalog.protocol_of(name, options))
    print(report)
    for note, value in dataset.notes.items():
        if note != "protocol":
            print(f"{note}: {_shown(value)}")
    if _IMAGES.value:
        copies = image_checks.copies_of_queries(dataset)
        example = " ({} is {})".format(*copies[0]) if copies else ""
        print(f"queries of which train or database holds a copy under another id: {len(copies)}{example}")
    stated = "protocol" in dataset.notes
    print("split: as the protocol says" if stated else "split: no protocol stated; no query in train or database")


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    program.run(main)
