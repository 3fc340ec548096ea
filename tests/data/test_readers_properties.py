"""Any list, folder or official file gives what a naive reader says, or one InputError; never another error, never a hang.

HYPOTHESIS_EXAMPLES=10000 is the long form.
"""

import os
import posixpath
import re
import shutil
import signal
import tempfile
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dseh_tf.data import catalog
from dseh_tf.data.catalog import DataOptions
from dseh_tf.data.check_split import check_split
from dseh_tf.data.decoding import readable_suffixes
from dseh_tf.data.readers import image_lists
from dseh_tf.data.readers.image_folder import digest, read_image_folder
from dseh_tf.data.readers.mirflickr25k import read_mirflickr
from dseh_tf.data.readers.nus_wide import find_images, has_tags, read_nus_wide
from dseh_tf.data.retrieval_dataset import RetrievalDataset
from dseh_tf.data.sets.image_lists import load_image_lists
from dseh_tf.encoding import features
from dseh_tf.errors import InputError
from tests.data import miniatures

EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "50"))
SLOW = settings(
    deadline=None,
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Refused(Exception):
    """What the naive readers raise."""


@contextmanager
def at_once(seconds: float = 20.0):
    """Fails where the block waits, as reading from a pipe would."""

    def stop(*_):
        raise AssertionError("the reader waits")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def outcome(read):
    """What `read` returns, or the InputError it raises; any other exception is the test's failure."""
    with at_once():
        try:
            return read()
        except InputError as error:
            assert str(error)
            return error


# Image lists


def naive_list(data: bytes, unlabelled: str) -> list[tuple[str, tuple[int, ...]]]:
    try:
        text = data.decode("utf-8-sig" if data.startswith(b"\xef\xbb\xbf") else "utf-8")
    except UnicodeDecodeError:
        raise Refused from None
    entries = []
    for line in text.split("\n"):
        if line.strip():
            path, numbers = re.fullmatch(r"(\S.*?)((?:\s+[+-]?\d+(?:\.\d*)?)*)", line.strip(), re.DOTALL).groups()
            entries.append((path, numbers.split()))
    if not entries:
        raise Refused
    width = Counter(len(numbers) for _, numbers in entries).most_common(1)[0][0]
    if width < 2 or any(len(numbers) != width or not set(numbers) <= {"0", "1"} for _, numbers in entries):
        raise Refused
    rows = [(naive_path(path), tuple(map(int, numbers))) for path, numbers in entries]
    if len({path for path, _ in rows}) < len(rows) or (unlabelled == "refuse" and not all(any(row) for _, row in rows)):
        raise Refused
    if unlabelled == "leave_out":
        rows = [row for row in rows if any(row[1])]
    if not rows:
        raise Refused
    return rows


def naive_path(path: str) -> str:
    """Without `.`, double slashes and what `..` undoes."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part not in ("", ".") and not (part == ".." and path.startswith("/")):
            parts.append(part)
    return ("/" if path.startswith("/") else "") + "/".join(parts) or "."


def naive_lists(texts: dict[str, bytes], unlabelled: str, root: Path) -> dict[str, list]:
    rows = {name: naive_list(data, unlabelled) for name, data in texts.items()}
    database = rows.get("database", rows["train"])
    train = [row for row in rows["train"] if any(row[1])]
    if not train:
        raise Refused
    found = {"train": train, "query": rows["test"], "database": database}
    # As files they are told apart from the root on.
    place = {
        part: [posixpath.normpath(posixpath.join("/", *root.parts[1:], path)) for path, _ in entries]
        for part, entries in found.items()
    }
    widths = {len(row) for entries in found.values() for _, row in entries}
    twice = any(len(set(paths)) < len(paths) for paths in place.values())
    if len(widths) != 1 or twice or set(place["query"]) & {*place["train"], *place["database"]}:
        raise Refused
    return found


SPACES = st.sampled_from([" "] * 8 + ["\t", "  ", " \t", "\u00a0", "\u2028", "\x0b", "\x1c", "\r"])
NAMES = st.sampled_from(
    ["a.jpg", "b.jpg", "c.jpg", "x/d.jpg", "./a.jpg", "x//d.jpg", "x/../b.jpg", "../e.jpg", "/abs/f.jpg", "my photo.jpg", "1",
     "mädchen.png", "g 1.jpg", "a\u00a0b.jpg", ".", "~", "~/h.jpg", "nul\x00.jpg", "%s", "{}", "i.jpg", "j.jpg", "k.jpg"]
)  # fmt: skip
LABELS = st.sampled_from(["0", "1"] * 24 + ["2", "-1", "0.5", "nan", "1.", "01", "+1", "\u0661", "cat"])
ENDINGS = st.sampled_from(["\n"] * 6 + ["\r\n", " \n", "\n\n", "\t\n", ""])


@st.composite
def list_files(draw, names=NAMES):
    width = draw(st.integers(1, 4))
    lines = []
    for _ in range(draw(st.integers(0, 6))):
        count = draw(st.sampled_from([width] * 12 + [0, width + 1, max(0, width - 1)]))
        name = draw(names)
        labels = draw(st.lists(LABELS, min_size=count, max_size=count))
        lines.append(name + "".join(draw(SPACES) + label for label in labels) + draw(ENDINGS))
    data = "".join(lines).encode()
    if draw(st.integers(0, 15)) == 0:
        data = b"\xef\xbb\xbf" + data
    if data and draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(data) - 1))
        data = data[:at] + draw(st.binary(max_size=3)) + data[at + draw(st.integers(0, 3)) :]
    return data


@SLOW
@given(data=list_files(), unlabelled=st.sampled_from(image_lists.UNLABELLED))
@example(data="\u00a0\n\u3000".encode(), unlabelled="refuse")  # white space that bytes.strip does not know
@example(data=b"\xef\xbb\xbf\n", unlabelled="refuse")
@example(data="a\u00a0b.jpg 0 1\nc.jpg\u00a0 1 1\n".encode(), unlabelled="refuse")
def test_a_list_is_read_as_naively(tmp_path, data, unlabelled):
    (tmp_path / "list.txt").write_bytes(data)
    found = outcome(lambda: image_lists.read_image_list(tmp_path / "list.txt", unlabelled))
    try:
        expected = naive_list(data, unlabelled)
    except Refused:
        assert isinstance(found, InputError)
        return
    assert not isinstance(found, InputError), found
    assert list(zip(found.paths, map(tuple, found.labels.tolist()), strict=True)) == expected


# Mostly good lists, so that all three are read together.
@st.composite
def three_lists(draw):
    width = draw(st.sampled_from([2, 2, 3]))
    names = draw(st.permutations([f"{letter}.jpg" for letter in "abcdefgh"]))
    texts = {}
    for name in ("train", "test", "database"):
        part = [names.pop() for _ in range(draw(st.integers(1, 2)))]
        if draw(st.integers(0, 9)) == 0:
            part.append(draw(NAMES))
        rows = [(path, draw(st.lists(st.sampled_from("01"), min_size=width, max_size=width))) for path in part]
        if name == "database":
            rows += texts["rows"][: draw(st.integers(0, 2))]
        if name == "train":
            texts["rows"] = rows
        texts[name] = "".join(f"{path} {' '.join(labels)}\n" for path, labels in rows).encode()
    del texts["rows"]
    if draw(st.booleans()):
        del texts["database"]
    if draw(st.integers(0, 9)) == 0:
        texts[draw(st.sampled_from(sorted(texts)))] = draw(list_files())
    return texts


@SLOW
@given(texts=three_lists(), unlabelled=st.sampled_from(image_lists.UNLABELLED))
def test_a_split_is_read_as_naively(tmp_path, texts, unlabelled):
    for name in ("train", "test", "database"):
        (tmp_path / f"{name}.txt").unlink(missing_ok=True)
    for name, data in texts.items():
        (tmp_path / f"{name}.txt").write_bytes(data)
    found = outcome(lambda: load_image_lists(tmp_path, labels_only=True, unlabelled=unlabelled))
    assert image_lists.digest(tmp_path)
    try:
        expected = naive_lists(texts, unlabelled, tmp_path)
    except Refused:
        assert isinstance(found, InputError)
        return
    assert not isinstance(found, InputError), found
    for part, rows in expected.items():
        split = getattr(found, part)
        assert split.labels.tolist() == [list(labels) for _, labels in rows]
        for name, (path, _) in zip(split.ids.tolist(), rows, strict=True):
            # NUL characters at the end of a text are dropped by numpy; none is here.
            assert posixpath.normpath(tmp_path / name) == posixpath.normpath(tmp_path / path)
    check_split(found)
    images = outcome(lambda: load_image_lists(tmp_path, unlabelled=unlabelled))
    assert isinstance(images, InputError)  # there are none


# Folders

HIDDEN = (".", "__macosx", "@eadir", "thumbs.db", "desktop.ini", "#recycle")
DIRECTORIES = st.sampled_from(
    ["cat", "dog", "emu", "cat", "dog", ".ipynb_checkpoints", "__MACOSX", "@eaDir", "sub", "a.jpg", "#recycle"]
)
FILES = st.sampled_from(
    ["0.jpg", "1.PNG", "2.webp", "3.tiff", "4.gif", "._0.jpg", ".DS_Store", "Thumbs.db", "desktop.ini", "notes.txt", "x.h5",
     "y.eps", "none", "5.jpg.tmp", "6.jp2", "new\nline.png", "7.mpo"]
)  # fmt: skip
KINDS = st.sampled_from(
    ["image"] * 10 + ["text", "empty", "pipe", "broken link", "linked image", "linked folder", "cut"]
)
TREES = st.lists(st.tuples(st.lists(DIRECTORIES, max_size=3), FILES, KINDS), max_size=12)


def plant(root: Path, tree) -> None:
    image = miniatures.image_bytes("x", (3, 2))
    for folders, name, kind in tree:
        file = root.joinpath(*folders, name)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            continue
        if file.is_symlink() or file.exists():
            continue
        if kind == "pipe":
            os.mkfifo(file)
        elif kind == "broken link":
            file.symlink_to(root / "nowhere")
        elif kind == "linked image":
            (root.parent / "outside.png").write_bytes(image)
            file.symlink_to(root.parent / "outside.png")
        elif kind == "linked folder":
            file.symlink_to(root)  # a circle
        else:
            file.write_bytes({"image": image, "text": b"text", "empty": b"", "cut": image[:40]}[kind])


def naive_folder(root: Path) -> tuple[list[str], list[str]]:
    """(ids, class of each); the classes have at least one image each."""

    def hidden(name: str) -> bool:
        return name.startswith(".") or name.lower() in HIDDEN

    def below(folder: Path) -> list[str]:
        found = []
        for name in os.listdir(folder):  # noqa: PTH208
            path = folder / name
            if hidden(name):
                continue
            if path.is_dir():
                found += [] if path.is_symlink() else below(path)
            elif path.suffix.lower() in readable_suffixes():
                found.append(path.relative_to(root).as_posix())
        return found

    folders = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not hidden(entry.name))
    classes = {name: sorted(below(root / name), key=lambda path: Path(path).parts) for name in folders}
    if len(folders) < 2 or not all(classes.values()):
        raise Refused
    return [path for name in folders for path in classes[name]], [name for name in folders for _ in classes[name]]


@SLOW
@given(tree=TREES)
def test_a_folder_is_read_as_naively(tree):
    with tempfile.TemporaryDirectory() as place:
        root = Path(place, "root")
        root.mkdir()
        plant(root, tree)
        found = outcome(lambda: read_image_folder(root))
        name = outcome(lambda: digest(root))
        loaded = outcome(lambda: catalog.load("image_folder", DataOptions(images_root=root)))
        skipped = outcome(lambda: catalog.load("image_folder", DataOptions(images_root=root, skip_bad_images=True)))
        try:
            ids, classes = naive_folder(root)
        except Refused:
            assert all(isinstance(each, InputError) for each in (found, name, loaded, skipped))
            return
        assert not isinstance(found, InputError) and isinstance(name, str), found
        assert found[0].tolist() == ids and [found[3][row] for row in found[1].argmax(axis=1)] == classes
        bad = [path for path in ids if not good(root / path)]
        if bad:  # an image cut off behind its header is found when it is decoded
            assert isinstance(loaded, InputError) or all((root / path).is_file() for path in bad)
        if isinstance(loaded, RetrievalDataset):
            assert {*loaded.query.ids.tolist(), *loaded.database.ids.tolist()} == set(ids)
        if isinstance(skipped, RetrievalDataset):
            assert {*skipped.query.ids.tolist(), *skipped.database.ids.tolist()} == set(ids) - set(bad)


def good(file: Path) -> bool:
    return file.is_file() and file.read_bytes() == miniatures.image_bytes("x", (3, 2))


# Official files and extracted features, with a few bytes changed


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    root = tmp_path_factory.mktemp("official")
    miniatures.write_nus_wide(root / "nus", images=24, concepts=4, tags=6)
    shutil.rmtree(root / "nus" / "Groundtruth" / "TrainTestLabels")
    miniatures.write_mirflickr(root / "mir", images=12)
    rng = np.random.default_rng(0)
    parts = {part: (rng.random((count, 4), np.float32), np.eye(2, dtype=int)[rng.integers(0, 2, count)])
             for part, count in (("train", 6), ("query", 3))}  # fmt: skip
    dataset = RetrievalDataset.from_arrays(**parts)
    folder = root / "features"
    folder.mkdir()
    for part in ("train", "query", "database"):
        np.save(folder / f"{part}.npy", getattr(dataset, part).features)
        np.save(folder / f"{part}_ids.npy", getattr(dataset, part).ids)
    summary = '{"backbone": "x", "image_size": 8, "dim": 4, "mirrored": false}'
    (folder / "features.json").write_text(summary)
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and path.suffix in (".txt", ".npy", ".json")]
    return root, files, dataset


def read_everything(root: Path, dataset: RetrievalDataset, file: Path):
    part = file.relative_to(root).parts[0]
    if part == "nus":
        nus = read_nus_wide(root / "nus")
        return has_tags(nus), find_images(nus, np.arange(len(nus.names)))
    if part == "mir":
        return read_mirflickr(root / "mir")
    return features.read_features(dataset, root / "features")


@SLOW
@given(data=st.data())
def test_changed_official_files_and_features(official, data):
    root, files, dataset = official
    file = data.draw(st.sampled_from(files))
    whole = file.read_bytes()
    at = data.draw(st.integers(0, len(whole)))
    odd = st.sampled_from([b"\n", b"0", b"2", b" ", b"\r", b"-1", b"[" * 300, b"1e999"])
    new = data.draw(st.one_of(st.binary(max_size=4), odd))
    cut = data.draw(st.sampled_from([0, 1, 2, 4, len(whole)]))
    try:
        file.write_bytes(whole[:at] + new + whole[at + cut :])
        outcome(lambda: read_everything(root, dataset, file))
    finally:
        file.write_bytes(whole)


def test_unchanged_official_files_are_read(official):
    root, files, dataset = official
    for file in files:
        assert not isinstance(outcome(lambda file=file: read_everything(root, dataset, file)), InputError)
