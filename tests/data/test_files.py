"""Hidden names, regular files only, and `~`, for every reader that lists folders, opens files or is given a path."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dseh_tf.data import catalog, files, memory_maps
from dseh_tf.data.catalog import DataOptions
from dseh_tf.data.decoding import check_header, decode_file, readable_suffixes
from dseh_tf.data.image_checks import copies_of_queries
from dseh_tf.data.images import FileImages
from dseh_tf.data.readers import image_lists, nus_wide
from dseh_tf.data.readers.image_folder import digest, read_image_folder
from dseh_tf.data.readers.image_lists import read_image_list
from dseh_tf.data.readers.mirflickr25k import read_mirflickr
from dseh_tf.data.readers.nus_wide import find_images, read_nus_wide
from dseh_tf.data.readers.official_files import read_bits, read_lines, stream_bit_rows
from dseh_tf.data.sets.image_lists import load_image_lists
from dseh_tf.data.sets.imagenet_100 import chosen_classes
from dseh_tf.encoding import features
from dseh_tf.errors import InputError
from tests.data import miniatures

HIDDEN_FOLDERS = (".ipynb_checkpoints", "__MACOSX", "@eaDir", ".AppleDouble", "#recycle", "$RECYCLE.BIN")
HIDDEN_FILES = ("._{}", ".{}", "Thumbs.db", "desktop.ini", ".DS_Store")


def _litter(folder: Path, name: str, content: bytes) -> None:
    """What systems and editors leave in a folder that holds the file `name`: copies, thumbnails, and unreadable files."""
    for place in HIDDEN_FOLDERS:
        (folder / place / "deeper").mkdir(parents=True)
        for hidden in (folder / place / name, folder / place / "deeper" / name):
            hidden.write_bytes(content)
    for pattern in HIDDEN_FILES:
        (folder / pattern.format(name)).write_bytes(b"\x00\x05\x16\x07 not an image")
    nas = folder / "@eaDir" / f"{Path(name).stem}.d{Path(name).suffix}"  # Synology: a folder per image
    nas.mkdir()
    (nas / f"SYNOPHOTO_THUMB_XL{Path(name).suffix}").write_bytes(content)


def test_hidden_names():
    for name in (*HIDDEN_FOLDERS, ".DS_Store", "._a.jpg", "thumbs.db", "Thumbs.db", "desktop.ini", "__macosx"):
        assert files.hidden(name), name
    for name in ("a.jpg", "_a.jpg", "MACOSX", "a.", "@home", "#1", "thumbs", "eaDir"):
        assert not files.hidden(name), name


def test_an_image_folder_without_its_litter(tmp_path):
    for root in ("clean", "littered"):
        miniatures.write_image_folder(tmp_path / root, {"cat": 12, "dog": 12})
        miniatures.write_image(tmp_path / root / "dog" / "puppies" / "0.png", "puppy")
    root = tmp_path / "littered"
    for folder, name in ((root, "0.png"), (root / "cat", "1.png"), (root / "dog" / "puppies", "0.png")):
        _litter(folder, name, (root / "cat" / "1.png").read_bytes())
    clean, found = read_image_folder(tmp_path / "clean"), read_image_folder(root)
    assert found[0].tolist() == clean[0].tolist() and found[3] == clean[3] == ("cat", "dog")
    assert digest(root) == digest(tmp_path / "clean")
    dataset = catalog.load("image_folder", DataOptions(images_root=root))  # unreadable hidden files do not refuse it
    assert len(dataset.database) + len(dataset.query) == 25 and copies_of_queries(dataset) == []


def test_mirflickr_without_its_litter(tmp_path):
    labels, _ = miniatures.write_mirflickr(tmp_path, images=30)
    annotation = (tmp_path / "mirflickr25k_annotations_v080" / "classa.txt").read_bytes()
    _litter(tmp_path / "mirflickr25k_annotations_v080", "classa.txt", annotation)
    _litter(tmp_path / "mirflickr", "im1.jpg", (tmp_path / "mirflickr" / "im1.jpg").read_bytes())
    found = read_mirflickr(tmp_path)
    np.testing.assert_array_equal(found.labels, labels)
    assert len(found.names) == 30 and found.classes[0] == "classa"


@pytest.mark.parametrize("layout", ["Flickr", "images", "hashnet"])
def test_nus_wide_without_its_litter(tmp_path, layout):
    miniatures.write_nus_wide(tmp_path, images=40, layout=layout)
    base = tmp_path / {"hashnet": "images"}.get(layout, layout)
    clean = find_images(read_nus_wide(tmp_path), np.arange(40)).paths
    some = next(path for path in base.rglob("*.jpg"))
    _litter(some.parent, some.name, b"not an image")
    hidden = base / "__MACOSX" / some.parent.name
    hidden.mkdir(parents=True, exist_ok=True)
    assert find_images(read_nus_wide(tmp_path), np.arange(40)).paths == clean
    listed = nus_wide._list_images(base).values()
    assert len(listed) == 40 and not any(files.hidden(part) for path in listed for part in path.split("/"))
    gone = clean[5]
    (gone.parent / f"._{gone.name}").write_bytes(b"")
    gone.unlink()
    with pytest.raises(InputError, match="1 of 40 images are missing"):
        find_images(read_nus_wide(tmp_path), np.arange(40))


def test_what_is_passed_over_is_said_in_one_line(tmp_path, caplog):
    miniatures.write_image_folder(tmp_path, {"cat": 2, "dog": 2})
    read_image_folder(tmp_path)
    assert not caplog.records
    (tmp_path / "readme.md").write_text("")
    for name in ("notes.txt", "more.TXT", "scan.heic", ".DS_Store", "plain"):
        (tmp_path / "cat" / name).write_text("")
    (tmp_path / "dog" / "linked").symlink_to(tmp_path / "cat")
    ids, *_ = read_image_folder(tmp_path)
    assert len(ids) == 4
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith(f"{tmp_path}: found 4 images in 2 folders; skipped ")
    for word in (
        "5 other files",
        ".txt 2",
        ".heic 1",
        "no suffix 1",
        ".md beside the classes 1",
        "1 hidden name",
        "1 link to",
    ):
        assert word in record.getMessage()


def test_suffixes_that_pillow_reads(tmp_path):
    """One image of every format that Pillow both writes and reads, under every suffix it registers for it."""
    Image.init()
    picture = Image.new("RGB", (8, 8), (10, 200, 30))
    count = 0
    for suffix, kind in sorted(Image.registered_extensions().items()):
        if suffix not in readable_suffixes():
            continue
        file = tmp_path / "cat" / f"image{count}{suffix.upper() if count % 2 else suffix}"
        file.parent.mkdir(exist_ok=True)
        for mode in ("RGB", "L", "1"):
            try:
                picture.convert(mode).save(file, kind)
                break
            except (KeyError, OSError, ValueError):  # no writer, or none of this mode
                file.unlink(missing_ok=True)
        count += file.exists()
    miniatures.write_image(tmp_path / "dog" / "0.png", "dog")
    ids, _, images, _ = read_image_folder(tmp_path)
    assert len(ids) == count + 1 > 25
    known = {Path(name).suffix.lower() for name in ids.tolist()}
    assert {".jpg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tga", ".jp2", ".ico", ".pcx", ".pbm", ".mpo"} <= known
    for row in range(len(ids)):
        assert images.read(row).shape[2] == 3


def test_formats_that_pillow_does_not_decode_itself(tmp_path):
    """PostScript would start another program; HDF5, GRIB and the like are opened by their header alone."""
    assert (
        not {".eps", ".ps", ".h5", ".hdf", ".grib", ".bufr", ".wmf", ".emf", ".mpg", ".mpeg", ".pdf"}
        & readable_suffixes()
    )
    Image.new("RGB", (8, 8)).save(tmp_path / "a.eps")
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.eps").read_bytes())
    (tmp_path / "c.jpg").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))
    for name in ("a.eps", "b.jpg", "c.jpg"):
        with pytest.raises(InputError, match=f"{name}: found no image that Pillow can read"):
            decode_file(tmp_path / name)


def _pipe(file: Path) -> str:
    os.mkfifo(file)
    return "a named pipe"


def _device(file: Path) -> str:
    file.symlink_to("/dev/zero")
    return "a device"


def _socket(file: Path) -> str:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(file.parent)  # the path of a socket has at most 107 bytes
        try:
            server.bind(file.name)
        finally:
            os.chdir(here)
    return "a socket"


def _folder(file: Path) -> str:
    file.mkdir()
    return "a folder"


KINDS = pytest.mark.parametrize("make", [_pipe, _device, _socket, _folder])


@KINDS
def test_files_are_regular(tmp_path, make):
    file = tmp_path / "file"
    kind = make(file)
    for read in (
        decode_file, check_header, read_image_list, read_lines, memory_maps.mapped, files.read_bytes, files.check_regular,
        lambda path: read_bits(path, 3, "rows"), lambda path: list(stream_bit_rows(path, 3, 3, "rows")),
        lambda path: FileImages((path,), ("list.txt:1",)).read(0),
    ):  # fmt: skip
        with pytest.raises(InputError, match=f"^{file}: found {kind}, expected "):
            read(file)


@KINDS
@pytest.mark.parametrize("name", ["train.txt", "test.txt", "database.txt", "words.txt"])
def test_list_files_are_regular(tmp_path, make, name):
    miniatures.write_image_lists(tmp_path)
    (tmp_path / name).unlink(missing_ok=True)
    kind = make(tmp_path / name)
    with pytest.raises(InputError, match=f"{name}: found {kind}, expected"):
        load_image_lists(tmp_path)
    assert image_lists.digest(tmp_path)  # made before the lists are read


@KINDS
def test_images_of_lists_are_regular(tmp_path, make):
    miniatures.write_image_lists(tmp_path)
    kind = make(tmp_path / "odd.jpg")
    with (tmp_path / "train.txt").open("a") as lines:
        lines.write("odd.jpg 0 1 0 0 0\n")
    with pytest.raises(InputError, match=rf"odd\.jpg: found {kind}, expected an image \(named in .*train\.txt:41\)"):
        load_image_lists(tmp_path)
    dataset = load_image_lists(tmp_path, skip_bad_images=True)
    assert dataset.notes["bad_images"] == {"train": 1, "query": 0, "database": 0}


def test_a_device_by_its_own_path_in_a_list(tmp_path):
    miniatures.write_image_lists(tmp_path)
    with (tmp_path / "train.txt").open("a") as lines:
        lines.write("/dev/zero 0 1 0 0 0\n")
    with pytest.raises(InputError, match=r"dev/zero: found a device, expected an image"):
        load_image_lists(tmp_path)


@pytest.mark.parametrize("make", [_pipe, _device, _socket])
def test_images_of_a_folder_are_regular(tmp_path, make):
    miniatures.write_image_folder(tmp_path, {"cat": 12, "dog": 12})
    kind = make(tmp_path / "cat" / "odd.png")
    with pytest.raises(InputError, match=rf"odd\.png: found {kind}, expected an image"):
        catalog.load("image_folder", DataOptions(images_root=tmp_path))
    dataset = catalog.load("image_folder", DataOptions(images_root=tmp_path, skip_bad_images=True))
    assert sum(dataset.notes["bad_images"].values()) > 0 and "cat/odd.png" not in dataset.database.ids
    assert digest(tmp_path)


def test_a_link_to_nothing_is_told(tmp_path):
    miniatures.write_image_folder(tmp_path, {"cat": 12, "dog": 12})
    (tmp_path / "cat" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(InputError, match=r"gone\.png: no such file"):
        catalog.load("image_folder", DataOptions(images_root=tmp_path))
    assert digest(tmp_path)


@KINDS
def test_official_files_are_regular(tmp_path, make):
    miniatures.write_nus_wide(tmp_path / "nus", images=40)
    (tmp_path / "nus" / "Groundtruth" / "AllLabels" / "Labels_concept03.txt").unlink()
    kind = make(tmp_path / "nus" / "Groundtruth" / "AllLabels" / "Labels_concept03.txt")
    with pytest.raises(InputError, match=rf"Labels_concept03\.txt: found {kind}, expected a regular file"):
        read_nus_wide(tmp_path / "nus")
    miniatures.write_mirflickr(tmp_path / "mir", images=30)
    (tmp_path / "mir" / "mirflickr25k_annotations_v080" / "classb.txt").unlink()
    kind = make(tmp_path / "mir" / "mirflickr25k_annotations_v080" / "classb.txt")
    with pytest.raises(InputError, match=rf"classb\.txt: found {kind}, expected text"):
        read_mirflickr(tmp_path / "mir")


@KINDS
def test_features_are_regular_files(tmp_path, make):
    kind = make(tmp_path / "features.json")
    with pytest.raises(InputError, match=rf"features\.json: found {kind}, expected a folder that extract_features"):
        features.read_summary(tmp_path)


def test_copies_are_not_looked_for_in_pipes(tmp_path):
    """A pipe has the size 0, as an empty image file."""
    miniatures.write_image_folder(tmp_path, {"cat": 12, "dog": 12})
    dataset = catalog.load("image_folder", DataOptions(images_root=tmp_path))
    for name in (dataset.query.ids[0], dataset.database.ids[0]):
        (tmp_path / name).unlink()
    (tmp_path / dataset.query.ids[0]).write_bytes(b"")
    os.mkfifo(tmp_path / dataset.database.ids[0])
    with pytest.raises(InputError, match="found a named pipe, expected an image"):
        copies_of_queries(dataset)


def test_damaged_arrays_are_told_and_never_unpickled(tmp_path):
    whole = tmp_path / "whole.npy"
    np.save(whole, np.zeros((3, 4), np.float32))
    data = whole.read_bytes()
    np.save(tmp_path / "pickled.npy", np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "zip.npz", a=np.zeros(3))
    for content in (
        b"", b"abc", data[:-3], data[:20], data.replace(b"'<f4'", b"'<z9'"), data.replace(b"{'descr'", b"\x00'descr'"),
        data.replace(b"(3, 4)", b"(-3,4)"), data.replace(b"(3, 4)", b"(9e9,)"),
        (tmp_path / "pickled.npy").read_bytes(), (tmp_path / "zip.npz").read_bytes(),
    ):  # fmt: skip
        file = tmp_path / "damaged.npy"
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"damaged\.npy: found a truncated or damaged file") as told:
            memory_maps.mapped(file)
        assert "\n" not in str(told.value) and "allow_pickle" not in str(told.value)
    np.testing.assert_array_equal(memory_maps.mapped(whole), np.zeros((3, 4)))


def test_a_summary_of_features_that_is_no_object(tmp_path):
    for text in (b"[" * 100_000, b"\xff\xfe", b"{", b"[]", b"3", json.dumps({"backbone": 3}).encode()):
        (tmp_path / "features.json").write_bytes(text)
        with pytest.raises(InputError, match=r"features\.json"):
            features.read_summary(tmp_path)


def test_home_is_expanded_by_every_reader(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    miniatures.write_image_folder(tmp_path / "pictures", {"cat": 12, "dog": 12})
    miniatures.write_image_lists(tmp_path / "lists")
    miniatures.write_nus_wide(tmp_path / "nus", images=40)
    miniatures.write_mirflickr(tmp_path / "mir", images=30)
    assert files.expanded("~/x") == tmp_path / "x" and files.expanded("~") == tmp_path
    assert files.expanded("~no-such-user/x") == Path("~no-such-user/x") and files.expanded("a/~") == Path("a/~")
    with pytest.raises(InputError, match="path: found 3, expected"):
        files.expanded(3)
    options = DataOptions(data_dir="~/d", lists_dir=Path("~"), images_root="~/pictures", imagenet_classes="~/c.txt")
    assert options.data_dir == tmp_path / "d" and options.lists_dir == tmp_path
    assert options.images_root == tmp_path / "pictures" and options.imagenet_classes == tmp_path / "c.txt"
    assert len(read_image_folder(Path("~/pictures"))[0]) == 24 and digest(Path("~/pictures"))
    assert len(load_image_lists(Path("~/lists"), Path("~/lists")).train) == 40
    assert len(read_image_list(Path("~/lists/train.txt")).paths) == 40
    assert image_lists.digest(Path("~/lists")) == image_lists.digest(tmp_path / "lists")
    official = read_nus_wide(Path("~/nus"))
    assert find_images(official, np.arange(3), Path("~/nus/Flickr")).paths == find_images(official, np.arange(3)).paths
    assert len(read_mirflickr(Path("~/mir")).names) == 30
    with pytest.raises(InputError, match=f"^{tmp_path}/f/features"):
        features.read_summary(Path("~/f"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lists", "mir", "nus", "pictures"]


def test_names_that_are_not_utf8(tmp_path):
    miniatures.write_image_folder(tmp_path, {"cat": 3, "dog": 3})
    odd = os.fsencode(tmp_path / "cat") + b"/caf\xe9.png"
    os.rename(tmp_path / "cat" / "0.png", odd)  # noqa: PTH104 (a name of bytes)
    with pytest.raises(InputError, match=r"caf.*found a name that is not UTF-8") as told:
        read_image_folder(tmp_path)
    str(told.value).encode()
    assert FileImages((Path(os.fsdecode(odd)),)).fingerprint()


def test_a_bad_draw_seed():
    for seed in (-1, 2**63, "0", 1.5):
        with pytest.raises(InputError, match="seed: found"):
            DataOptions(seed=seed)
    with pytest.raises(InputError, match="queries: found '2'"):
        DataOptions(queries="2")


def test_importing_the_readers_loads_no_tensorflow():
    code = "import sys, dseh_tf.data.catalog, dseh_tf.encoding.features; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_paths_that_no_file_can_have(tmp_path):
    """A name of more than 255 bytes, or with a NUL: `Path.exists` and `Path.is_dir` raise OSError for the first."""
    for name in ("x" * 300, "nul\x00"):
        odd = tmp_path / name
        assert not files.is_there(odd) and not files.is_folder(odd)
        for read in (
            read_image_folder, digest, load_image_lists, read_image_list, read_nus_wide, read_mirflickr, decode_file,
            features.read_summary, memory_maps.mapped, lambda path: load_image_lists(tmp_path, path),
            lambda path: chosen_classes(DataOptions(imagenet_classes=path), ()),
        ):  # fmt: skip
            with pytest.raises(InputError):
                read(odd)
        assert image_lists.digest(odd) == image_lists.digest(tmp_path)
    miniatures.write_nus_wide(tmp_path, images=24, concepts=4)
    (tmp_path / "Concepts81.txt").write_text("x" * 300)
    with pytest.raises(InputError, match=r"Labels_x+\.txt: no such file"):
        read_nus_wide(tmp_path)


def test_a_database_list_that_is_a_link_to_nothing(tmp_path):
    miniatures.write_image_lists(tmp_path)
    (tmp_path / "database.txt").unlink()
    (tmp_path / "database.txt").symlink_to(tmp_path / "moved.txt")
    with pytest.raises(InputError, match=r"database\.txt: found no such file"):
        load_image_lists(tmp_path)
