"""Miniatures of the real data sets, in the official formats: what the loading code is proven on.

Every image is of one colour that tells which image it is (`colour_of`), so that a test can follow it anywhere.
"""

from __future__ import annotations

import io
import shutil
import zlib
from pathlib import Path

import h5py
import numpy as np
import scipy.io
from PIL import Image

from dseh_tf.data.catalog import DataOptions
from dseh_tf.data.readers.wikipedia import CATEGORIES as WIKIPEDIA_CATEGORIES


def colour_of(name: str) -> tuple[int, int, int]:
    """The colour of the image called `name`."""
    value = zlib.crc32(name.encode())
    return value & 255, value >> 8 & 255, value >> 16 & 255


def image_bytes(name: str, size: tuple[int, int] = (24, 16), kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, colour_of(name)).save(data, kind)
    return data.getvalue()


def write_image(file: Path, name: str) -> None:
    """PNG data whatever the suffix is called: lossless, and read by content everywhere."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(image_bytes(name))


def write_nus_wide(
    root: Path, images: int = 400, concepts: int = 25, tags: int = 12, layout: str = "Flickr", seed: int = 0
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Writes a distribution below `root`; returns names (`category/file`), labels [n, c] and tags [n, t].

    Concepts become rarer along the alphabet backwards, so that the most frequent are not the first ones; some images
    have no label, some no tag. layout: Flickr (folders), images (flat), hashnet (flat, other names).
    """
    rng = np.random.default_rng(seed)
    names = [f"category{i % 7}/{i % 50:04d}_{90_000 + i}.jpg" for i in range(images)]
    labels = (rng.random((images, concepts)) < np.linspace(0.02, 0.3, concepts)).astype(np.uint8)
    labels[rng.random(images) < 0.1] = 0
    texts = (rng.random((images, tags)) < 0.2).astype(np.uint8)
    words = [f"concept{i:02d}" for i in range(concepts)]
    for folder in ("ImageList", "Groundtruth/AllLabels", "Groundtruth/TrainTestLabels", "NUS_WID_Tags"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    listed = [name.replace("/", "\\") + "  " for name in names]
    half = images // 2
    for file, lines in (("Imagelist", listed), ("TrainImagelist", listed[:half]), ("TestImagelist", listed[half:])):
        (root / "ImageList" / f"{file}.txt").write_text("\r\n".join(lines) + "\r\n")
    (root / "Concepts81.txt").write_text("\n".join(words) + "\n")
    truth = root / "Groundtruth"
    for column, word in enumerate(words):
        lines = list(map(str, labels[:, column]))
        (truth / "AllLabels" / f"Labels_{word}.txt").write_text("\n".join(lines) + "\n")
        (truth / "TrainTestLabels" / f"Labels_{word}_Train.txt").write_text("\n".join(lines[:half]) + "\n")
        (truth / "TrainTestLabels" / f"Labels_{word}_Test.txt").write_text("\n".join(lines[half:]) + "\n")
    (root / "NUS_WID_Tags" / "TagList1k.txt").write_text("".join(f"tag{i}\n" for i in range(tags)))
    table = "".join("\t".join(map(str, row)) + "\t\n" for row in texts)  # a trailing separator, as the real file has
    (root / "NUS_WID_Tags" / "AllTags1k.txt").write_text(table)
    for i, name in enumerate(names):
        flat = name.split("/")[1]
        number = flat.split("_")[1].split(".")[0]
        place = {"Flickr": f"Flickr/{name}", "images": f"images/{flat}", "hashnet": f"images/{i}_{number}_ab{i}_m.jpg"}
        write_image(root / place[layout], name)
    return names, labels, texts


def write_mirflickr(root: Path, images: int = 120, classes: int = 24, tags: int = 30, seed: int = 0):
    """Writes a distribution below `root`; returns labels [n, c] and tags [n, t]."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((images, classes)) < 0.15).astype(np.uint8)
    texts = (rng.random((images, tags)) < 0.15).astype(np.uint8)
    labels[:3], texts[3:6] = 0, 0
    for folder in ("mirflickr/meta/tags", "mirflickr/doc", "mirflickr25k_annotations_v080"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "mirflickr/doc/common_tags.txt").write_text("".join(f"tag{i} {20 + i}\n" for i in range(tags)))
    for i in range(images):
        write_image(root / f"mirflickr/im{i + 1}.jpg", f"im{i + 1}.jpg")
        own = [f"tag{t}" for t in np.flatnonzero(texts[i])] + ["rare", "größe"]
        (root / f"mirflickr/meta/tags/tags{i + 1}.txt").write_text("\r\n".join(own) + "\r\n", encoding="utf-8")
    folder = root / "mirflickr25k_annotations_v080"
    for column in range(classes):
        numbers = np.flatnonzero(labels[:, column]) + 1
        text = "".join(f"{number}\n" for number in numbers)
        (folder / f"class{chr(97 + column)}.txt").write_text(text)
        (folder / f"class{chr(97 + column)}_r1.txt").write_text("".join(f"{number}\n" for number in numbers[::2]))
    (folder / "README.txt").write_text("Annotations of MIRFLICKR\n")
    return labels, texts


def write_dummy_data(builders: Path) -> None:
    """The `dummy_data` of the TFDS builders: `python -m tests.data.miniatures`. Real JPEGs, official table widths."""
    writers = {
        "nus_wide": lambda root: write_nus_wide(root, 10, 81, 1_000),
        "mirflickr25k": lambda root: write_mirflickr(root, 8, 24, 1_386),
    }
    for name, write in writers.items():
        root = builders / name / "dummy_data"
        shutil.rmtree(root, ignore_errors=True)
        write(root)
        shutil.rmtree(root / "Groundtruth" / "TrainTestLabels", ignore_errors=True)
        for file in root.rglob("*.jpg"):
            Image.open(io.BytesIO(file.read_bytes())).save(file, "JPEG")


def write_wikipedia(root: Path, train: int = 40, test: int = 10, seed: int = 0) -> dict[str, np.ndarray]:
    """Writes a distribution below `root`, every third image without its category's folder; returns the topics."""
    rng = np.random.default_rng(seed)
    (root / "images").mkdir(parents=True, exist_ok=True)
    matrices = {}
    for part, count in (("train", train), ("test", test)):
        lines = []
        for i in range(count):
            text, image, category = f"{part}-text-{i}", f"{part}-image-{i}", i % 10 + 1
            folder = "" if i % 3 == 0 else f"{WIKIPEDIA_CATEGORIES[category - 1]}/"
            write_image(root / f"images/{folder}{image}.jpg", text)
            lines.append(f"{text}\t{image}\t{category}")
        (root / f"{part}set_txt_img_cat.list").write_text("\n".join(lines) + "\n")
        matrices[f"T_{part[:2]}"] = rng.dirichlet(np.full(10, 0.3), count)
        matrices[f"I_{part[:2]}"] = rng.random((count, 128))
    scipy.io.savemat(root / "raw_features.mat", matrices)
    return matrices


def write_hdf5_mat(file: Path, arrays: dict[str, np.ndarray]) -> None:
    """A MATLAB 7.3 file: a block of 512 bytes before the HDF5 signature, axes reversed."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(file, "w", userblock_size=512) as stored:
        for name, values in arrays.items():
            stored.create_dataset(name, data=values.T)
    with file.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .".ljust(124) + b"\x00\x02IM")


def write_image_folder(root: Path, counts: dict[str, int]) -> None:
    """`root/<class>/<i>.png`."""
    for name, count in counts.items():
        for i in range(count):
            write_image(root / name / f"{i}.png", f"{name}/{i}.png")


def write_image_lists(folder: Path, train: int = 40, test: int = 10, classes: int = 5, seed: int = 0) -> None:
    """`train.txt`, `test.txt`, `database.txt` (the training images and as many more) and their images."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)

    def lines(part: str, count: int) -> list[str]:
        found = []
        for i in range(count):
            row = (rng.random(classes) < 0.2).astype(int)
            row[rng.integers(classes)] = 1
            write_image(folder / f"images/{part}{i}.jpg", f"images/{part}{i}.jpg")
            found.append(f"images/{part}{i}.jpg {' '.join(map(str, row))}\n")
        return found

    own, more = lines("train", train), lines("more", train)
    for name, content in (("train", own), ("test", lines("test", test)), ("database", more + own[::-1])):
        (folder / f"{name}.txt").write_text("".join(content))


def write_tfds(data_dir: Path, name: str, examples: dict[str, list[dict]], per_shard: int = 40) -> Path:
    """Examples in the records of TFDS's own data set `name`, by its SequentialWriter; returns their folder."""
    import tensorflow_datasets as tfds

    builder = tfds.builder(name, data_dir=data_dir)
    folder = Path(builder.data_dir)
    folder.mkdir(parents=True)
    info = tfds.core.DatasetInfo(
        builder=tfds.core.dataset_info.DatasetIdentity.from_builder(builder), features=builder.info.features
    )
    writer = tfds.core.SequentialWriter(info, per_shard)
    writer.initialize_splits(list(examples))
    for split, rows in examples.items():
        writer.add_examples({split: rows})
    writer.close_all()
    return folder


def cifar10_examples(train: int = 200, test: int = 60, seed: int = 0) -> dict[str, list[dict]]:
    rng = np.random.default_rng(seed)

    def rows(part: str, count: int) -> list[dict]:
        names = [f"{part}_{i:05d}" for i in range(count)]
        images = [np.full((32, 32, 3), colour_of(name), np.uint8) for name in names]
        return [
            {"id": name, "image": image, "label": int(rng.integers(10))}
            for name, image in zip(names, images, strict=True)
        ]

    return {"train": rows("train", train), "test": rows("test", test)}


def coco_examples(train: int = 100, validation: int = 50, seed: int = 0) -> dict[str, list[dict]]:
    import tensorflow_datasets as tfds

    rng = np.random.default_rng(seed)

    def rows(part: str, count: int) -> list[dict]:
        found = []
        for i in range(count):
            name = f"COCO_{part}2014_{i:012d}.jpg"
            classes = rng.integers(0, 80, rng.integers(0, 5))
            objects = [
                {
                    "area": 4,
                    "bbox": tfds.features.BBox(0.0, 0.0, 0.5, 0.5),
                    "id": k,
                    "is_crowd": False,
                    "label": int(label),
                }
                for k, label in enumerate(classes)
            ]
            found.append(
                {"image": io.BytesIO(image_bytes(name)), "image/filename": name, "image/id": i, "objects": objects}
            )
        return found

    return {"train": rows("train", train), "validation": rows("val", validation)}


def imagenet_examples(classes: list[int], train: int = 4, validation: int = 2) -> dict[str, list[dict]]:
    def rows(names: list[tuple[str, int]]) -> list[dict]:
        return [{"file_name": name, "image": io.BytesIO(image_bytes(name)), "label": label} for name, label in names]

    return {
        "train": rows([(f"n{label:08d}_{i}.JPEG", label) for i in range(train) for label in classes]),
        "validation": rows([(f"ILSVRC2012_val_{k:08d}.JPEG", label) for k, label in enumerate(classes * validation)]),
    }


IMAGENET_CLASSES = list(range(0, 300, 3))
# Data set -> options of its miniature; the protocols' own numbers need the real data.
SMALL = {
    "nus_wide_21": {"queries": 2, "train_rows": 3},
    "nus_wide_10": {"queries": 4, "train_rows": 6},
    "mirflickr25k": {"queries": 1, "train_rows": 2},
    "ms_coco": {"queries": 20, "train_rows": 30},
    "cifar10": {"queries": 2, "train_rows": 3},
    "imagenet_100": {"queries": 2, "train_rows": 3},
    "image_folder": {},
    "image_lists": {},
    "wikipedia": {},
    "tfds:cifar10": {},
}


# Data set -> digest of the split that is drawn from its miniature with seed 0 (multi_digits: of the data set itself).
DIGESTS: dict[str, str] = {
    "multi_digits": "c6d3db3421f352af",
    "nus_wide_21": "45392fb6e3f016e7",
    "nus_wide_10": "35fa9df62d564a28",
    "mirflickr25k": "3a496478de29084f",
    "ms_coco": "3aa47dc3e0bf0fa5",
    "cifar10": "52b1db85cfd12360",
    "imagenet_100": "932cb8edebe1ab84",
    "image_folder": "edb2f3e4fabe5a29",
    "image_lists": "9e423e73fd669cce",
    "wikipedia": "e45dea6726b34030",
    "tfds:cifar10": "5a67d0d781922a48",
}


def write_all(root: Path) -> Path:
    """A miniature of every data set below `root`."""
    write_nus_wide(root / "nus_wide")
    write_mirflickr(root / "mirflickr25k")
    write_wikipedia(root / "wikipedia")
    write_image_folder(root / "folder", {"cat": 30, "dog": 50})
    write_image_lists(root / "lists")
    write_tfds(root, "cifar10", cifar10_examples())
    write_tfds(root, "coco/2014", coco_examples())
    write_tfds(root, "imagenet2012", imagenet_examples(IMAGENET_CLASSES))
    (root / "classes.txt").write_text("".join(f"{index}\n" for index in IMAGENET_CLASSES))
    return root


def options(root: Path, name: str, **changes) -> DataOptions:
    """How the catalog loads the miniature of `name` from where `write_all` put it. Raises LookupError where none is."""
    if name not in SMALL:
        raise LookupError(
            f"{name} has no miniature: write one in tests/data/miniatures.py, and add its numbers to SMALL and its digest "
            "to DIGESTS"
        )
    places = {
        "image_folder": {"images_root": root / "folder"},
        "image_lists": {"lists_dir": root / "lists"},
        "imagenet_100": {"imagenet_classes": root / "classes.txt"},
    }
    return DataOptions(**{"data_dir": root, **places.get(name, {}), **SMALL[name], **changes})


def name_of(dataset: str, image_id: str) -> str:
    """What `colour_of` is to be asked for the image with that id: ids of `tfds:NAME` number the records."""
    if dataset.startswith("tfds:"):
        part, row = image_id.split("/")
        return f"{part}_{int(row):05d}"
    return image_id


if __name__ == "__main__":
    write_dummy_data(Path(__file__).parents[2] / "dseh_tf" / "data" / "builders")
