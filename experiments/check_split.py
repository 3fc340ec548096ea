"""Prints and verifies the split of a data set: sizes, labels, classes, relevant pairs and overlaps.

    python -m experiments.check_split --dataset=nus_wide_21 --data_dir=/data/nus_wide

If the split does not follow the protocol or the data is not as expected, the program prints one line to standard error
and exits with 2. Images are not decoded. With `--images` the image files must exist, and queries are counted whose file
also occurs, byte for byte, in train or database under a different id.
"""

from __future__ import annotations

from typing import Any

from absl import flags

from dseh_tf.data import catalog, image_checks
from dseh_tf.data.check_split import check_split
from experiments import data_flags, program

_IMAGES = flags.DEFINE_bool("images", False, "Check the image files too, not only the labels.")


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
        print(f"queries with a copy in train or database under a different id: {len(copies)}{example}")
    stated = "protocol" in dataset.notes
    print("split: as the protocol says" if stated else "split: no protocol stated; no query in train or database")


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    program.run(main)
