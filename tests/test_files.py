"""Array and JSON files: what numpy reads is read alike, and what is damaged is one line, whatever its bytes are."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from dseh_tf.errors import InputError, disk_errno, refusal
from dseh_tf.files import mapped, npz_headers, read_json, read_npz, replacing, write_npz, writing
from dseh_tf.retrieval import Counts, HammingIndex, load_codes, load_counts, pack, save_codes, save_counts
from tests.damage import damaged, examples
from tests.retrieval import naive

ARRAYS = npst.arrays(
    st.one_of(
        npst.boolean_dtypes(), npst.integer_dtypes(), npst.unsigned_integer_dtypes(), npst.floating_dtypes(),
        npst.byte_string_dtypes(max_len=4),
    ),
    npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)  # fmt: skip
UNSAFE = ("allow_pickle", "max_header_size", "trust")


def one_line(error: InputError, path) -> None:
    text = str(error)
    assert text.startswith(f"{path}: ") and "found" in text and "expected" in text
    assert "\n" not in text and not any(word in text for word in UNSAFE)
    assert error.__cause__ is None and (error.__context__ is None or error.__suppress_context__)


def same(one: np.ndarray, other: np.ndarray) -> None:
    assert one.dtype == other.dtype and one.shape == other.shape
    assert one.tobytes() == other.tobytes()


@examples(100)
@given(st.dictionaries(st.text("abcé/", min_size=1, max_size=6).filter(lambda name: name not in ("file",)), ARRAYS, max_size=4),
       st.booleans(), st.booleans())  # fmt: skip
def test_reads_what_numpy_reads(tmp_path_factory, arrays, compressed, fortran):
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    arrays = {name: np.asfortranarray(array) if fortran else array for name, array in arrays.items()}
    arrays["text"] = np.array(["", "naïve", "\U0001f600"])
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    found, headers = read_npz(path), npz_headers(path)
    assert list(found) == list(headers) == list(arrays)
    for name, array in arrays.items():
        same(found[name], array)
        assert (headers[name].shape, headers[name].dtype) == (array.shape, array.dtype)
        assert found[name].flags.writeable
        np.save(path.with_suffix(".npy"), array)
        same(mapped(path.with_suffix(".npy")), array)


def test_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.npz"
    write_npz(path, {"x": np.arange(3)})
    with pytest.raises(ValueError):
        write_npz(path, {"x": np.array([{}])})
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]
    same(read_npz(path)["x"], np.arange(3))


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.array([{}, "a"], object), "Python objects"),
        (np.zeros(2, [("a", "i4"), ("b", "f4")]), "records"),
        (np.array(["2020-01-01"], "M8[D]"), "<M8[D]"),
        (np.ones(2, complex), "<c16"),
    ],
)
def test_arrays_of_other_kinds(tmp_path, array, told):
    np.savez(tmp_path / "a.npz", x=array)
    with pytest.raises(InputError) as error:
        read_npz(tmp_path / "a.npz", ["x"])
    one_line(error.value, tmp_path / "a.npz")
    assert f"x: found no plain array ({told})" in str(error.value)
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError) as error:
        mapped(tmp_path / "a.npy")
    one_line(error.value, tmp_path / "a.npy")


def header(text: str, contents: bytes = bytes(8)) -> bytes:
    raw = text.encode("latin-1")
    return b"\x93NUMPY\x01\x00" + len(raw).to_bytes(2, "little") + raw + contents


ODD_HEADERS = [
    header("{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }"),  # more than there is
    header("{'descr': '<i8', 'fortran_order': False, 'shape': (), }", bytes(9)),  # less than there is
    header("{'descr': '<i8', 'fortran_order': False, 'shape': (99999999999999999999999999,), }"),
    header("{'descr': '<i8', 'fortran_order': False, 'shape': (-1,), }"),
    header("{'descr': '<i8', 'fortran_order': False, 'shape': (" + "1," * 40 + "), }"),
    header("{'descr': '<i8', 'fortran_order': 3, 'shape': (1,), }"),
    header("{'descr': '<q9', 'fortran_order': False, 'shape': (1,), }"),
    header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"),
    header("{'descr': '<U0', 'fortran_order': False, 'shape': (99999999,), }", b""),
    header("{'descr': '<U2', 'fortran_order': False, 'shape': (1,), }", b"\xff" * 8),  # no such character
    header("{'descr': '<U2', 'fortran_order': False, 'shape': (1,), }", b"\x00\xd8\x00\x00" * 2),  # half a character
    header("{'descr': '|b1', 'fortran_order': False, 'shape': (8,), }", b"\x02" * 8),
    header("{'descr': '<i8', 'fortran_order': False, 'shape': (1,), 'more': open('/dev/null')}"),
    header("(" * 5000),
    header("{'descr': '<i8', 'fortran_order': False}"),
    b"\x93NUMPY\x09\x00" + bytes(40),
    b"\x93NUMPY",
    b"",
    b"\x80\x04K\x01.",  # a pickle
]


@pytest.mark.parametrize("raw", ODD_HEADERS, ids=range(len(ODD_HEADERS)))
def test_odd_headers(tmp_path, raw):
    """Also where the archive is whole, so that its checksum says nothing."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", raw)
    (tmp_path / "a.npy").write_bytes(raw)
    for path, read in ((tmp_path / "a.npz", lambda p: read_npz(p, ["x"])), (tmp_path / "a.npy", mapped)):
        with pytest.raises(InputError) as error:
            read(path)
        one_line(error.value, path)


def test_what_is_no_file(tmp_path):
    for name, found in (("absent", "no such file"), ("folder", "a folder"), ("pipe", "a named pipe")):
        path = tmp_path / name
        path.mkdir() if name == "folder" else os.mkfifo(path) if name == "pipe" else None
        for read in (read_npz, mapped, npz_headers):
            with pytest.raises(InputError, match=f"{name}: found {found}, expected"):
                read(path)


def test_a_bomb_takes_no_memory(tmp_path):
    """A size that the compressed bytes cannot hold is refused before it is allocated."""
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros(1000))
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        info = archive.getinfo("x.npy")
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(
        whole.replace(info.file_size.to_bytes(4, "little"), (1 << 31).to_bytes(4, "little"))
    )
    with pytest.raises(InputError, match="2,147,483,648 bytes in "):
        read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "3", '"x"', "null", "\ufeff{}", "{" * 9, "[" * 200_000, "1" * 5000, "{'a': 1}"]
)
def test_odd_json(tmp_path, text):
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_json(tmp_path / "a.json")
    one_line(error.value, tmp_path / "a.json")


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"\x00", '{"a": "é"}'.encode("latin-1")])
def test_json_in_another_encoding(tmp_path, raw):
    (tmp_path / "a.json").write_bytes(raw)
    with pytest.raises(InputError) as error:
        read_json(tmp_path / "a.json")
    one_line(error.value, tmp_path / "a.json")


# Property tests: whatever the bytes are, a right result or one line.


def _files(folder: Path, seed: int, save) -> dict[str, tuple[Path, object]]:
    """One file of each kind, with what reads it."""
    rng = np.random.default_rng(seed)
    query, database, query_labels, database_labels = naive.random_case(rng, 3, 7, 12, 4)
    save_codes(
        folder / "codes.npz", query_codes=pack(query), database_codes=pack(database), query_labels=query_labels,
        database_labels=database_labels, query_ids=np.array(["a", "b", "ü"]), database_ids=np.array([f"d{i}" for i in range(7)]),
        bits=12, database_trained=np.arange(7) < 3,
    )  # fmt: skip
    total = rng.multinomial(7, np.ones(13) / 13, 3)
    save_counts(folder / "counts.npz", Counts(rng.integers(0, total + 1), total))
    index = HammingIndex(12)
    index.add(pack(database), np.arange(7))
    index.save(folder / "index.npz")
    traces = {f"{phase}/{i}/total": rng.random(5).astype("f4") for phase in ("labnet", "imgnet") for i in range(2)}
    save(folder / "losses.npz", **traces)
    save(folder / "features.npz", labnet=rng.random((4, 3)).astype("f2"), train_ids=np.array(["x", "y", "z", "w"]))
    if save is np.savez:  # stored, not deflated
        for path in folder.glob("*.npz"):
            arrays = read_npz(path)
            np.savez(path, **arrays)
    readers = {
        "codes": load_codes,
        "counts": load_counts,
        "index": HammingIndex.load,
        "losses": read_npz,
        "features": read_npz,
    }
    return {name: (folder / f"{name}.npz", reader) for name, reader in readers.items()}


def _arrays(found: object) -> dict[str, np.ndarray]:
    if isinstance(found, HammingIndex):
        codes, ids = found._joined()
        return {"codes": codes, "ids": ids, "bits": np.asarray(found.bits)}
    held = found if isinstance(found, dict) else vars(found)
    return {name: np.asarray(value) for name, value in held.items()}


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory):
    """Of two runs, deflated and stored: name -> [(bytes, reader, arrays)]."""
    kinds: dict[str, list] = {}
    for seed in (0, 1):
        for save in (np.savez_compressed, np.savez):
            for name, (path, reader) in _files(tmp_path_factory.mktemp("whole"), seed, save).items():
                kinds.setdefault(name, []).append((path.read_bytes(), reader, _arrays(reader(path))))
    return kinds


@examples(300)
@given(st.data())
def test_damaged_archives(tmp_path_factory, whole_files, data):
    """A checksum stands for every array: what is read is what some whole file holds."""
    held = whole_files[data.draw(st.sampled_from(sorted(whole_files)))]
    (whole, reader, _), (other, _, _) = (held[data.draw(st.integers(0, len(held) - 1))] for _ in range(2))
    path = tmp_path_factory.mktemp("damaged") / "a.npz"
    path.write_bytes(damaged(data, whole, other))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = _arrays(reader(path))
        except InputError as error:
            one_line(error, path)
            return
    for _, _, arrays in held:
        if all(name in arrays and np.array_equal(found[name], arrays[name]) for name in found):
            return
    raise AssertionError("read what no file held")


@examples(300)
@given(st.data())
def test_damaged_arrays_in_whole_archives(tmp_path_factory, whole_files, data):
    """The checksums are right here: numpy must read the same array, or one line says why it is refused."""
    held = whole_files[data.draw(st.sampled_from(sorted(whole_files)))]
    whole, reader, _ = held[data.draw(st.integers(0, len(held) - 1))]
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    victim = data.draw(st.sampled_from(sorted(members)))
    members[victim] = damaged(data, members[victim], data.draw(st.sampled_from(sorted(members.values()))))
    path = tmp_path_factory.mktemp("damaged") / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name, raw in members.items():
            archive.writestr(name, raw)
    flat = path.with_suffix(".npy")
    flat.write_bytes(members[victim])
    name = victim.removesuffix(".npy")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for file, read in ((path, lambda: read_npz(path, [name])[name]), (flat, lambda: mapped(flat))):
            try:
                found = read()
            except InputError as error:
                one_line(error, file)
            else:
                same(np.asarray(found), np.lib.format.read_array(io.BytesIO(members[victim]), allow_pickle=False))
        try:
            reader(path)
        except InputError as error:
            one_line(error, path)


def test_array_files_are_read_in_one_place():
    """numpy's own reader gives tracebacks on damaged files, one of which advises to load unsafely."""
    root = Path(__file__).parents[1]
    sources = [file for room in ("dseh_tf", "experiments", "figures") for file in (root / room).rglob("*.py")]
    assert [
        file for file in sources if re.search(r"\b(np|numpy)\.(load|memmap)\(", file.read_text(encoding="utf-8"))
    ] == [root / "dseh_tf" / "files" / "npz.py"]


# The disk refuses.


def _png(path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)).save(path, "PNG")


def _pdf(path):
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().imshow(np.random.default_rng(0).random((200, 200)))
    figure.savefig(path, format="pdf")


WRITERS = {
    "json": lambda path: path.write_text(json.dumps({"a": "x" * 100_000})),
    "npz": lambda path: np.savez(path.open("wb"), x=np.random.default_rng(0).random(100_000)),
    "npz, compressed": lambda path: np.savez_compressed(path.open("wb"), x=np.random.default_rng(0).random(100_000)),
    "npy": lambda path: np.save(path.open("wb"), np.random.default_rng(0).random(100_000)),
    "png": _png,
    "pdf": _pdf,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_one_line(writer):
    """The device that is always full, by every library that writes our files: some give no name, numpy.save no number."""
    with pytest.raises(OSError) as error, writing("runs/x/codes.npz"):
        WRITERS[writer](Path("/dev/full"))
    assert refusal(error.value) == "runs/x/codes.npz: No space left on device"


def test_what_was_there_stays(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("before")
    with pytest.raises(OSError) as error, replacing(path) as temporary:
        temporary.write_text("half")
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
    assert refusal(error.value) == f"{path}: {os.strerror(errno.EDQUOT)}"
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("fault", [PermissionError(errno.EACCES, "x"), OSError(errno.EROFS, "x")])
def test_a_file_that_cannot_be_made_has_its_own_name(tmp_path, monkeypatch, fault):
    """Not the temporary one, which nobody knows."""

    def refuse(path, *_, **__):
        raise type(fault)(fault.errno, os.strerror(fault.errno), str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(OSError) as error:
        write_npz(tmp_path / "codes.npz", {"x": np.arange(3)})
    assert refusal(error.value) == f"{tmp_path / 'codes.npz'}: {os.strerror(fault.errno)}"


class OpError(Exception):
    """As TensorFlow's: the message is all there is."""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OpError("{{function_node __wrapped__SaveV2_dtypes_2_device_/job:localhost/replica:0/task:0/device:CPU:0}} "
                 "runs/x/state_temp/part-0; No space left on device [Op:SaveV2]"),
         "runs/x/state_temp/part-0: No space left on device"),
        (OpError("runs/x/tb/events.v2; Disk quota exceeded\n\tFailed to flush 11 events to runs/x/tb/events.v2\n\tCould not"),
         "runs/x/tb/events.v2: Disk quota exceeded"),
        (OpError("a/b c/state; Read-only file system"), "a/b c/state: Read-only file system"),
        (OpError("state; File too large [Op:SaveV2]"), "state: File too large"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device, while a file was written"),
        (OSError("1000000 requested and 262112 written"), "No space left on device, while a file was written"),
        (OSError("Not enough disk space. Needed: 3 GiB (download: 1 GiB, generated: 2 GiB)"),
         "No space left on device, while a file was written"),
    ],
)  # fmt: skip
def test_refusals_by_their_message(error, told):
    assert refusal(error) == told and disk_errno(error) is not None
    wrapped = RuntimeError(
        f"{type(error).__name__}: Failed to finalize writing of split"
    )  # as TensorFlow Datasets does
    wrapped.__cause__ = error
    assert refusal(wrapped) == told


@pytest.mark.parametrize(
    "error",
    [OpError("OOM when allocating tensor with shape[3]"), ValueError("No space left on device"), OSError("anything"),
     OSError(errno.EPERM, "Operation not permitted"), KeyError("x")],
)  # fmt: skip
def test_what_is_no_refusal(error):
    assert refusal(error) is None
    with pytest.raises(type(error)) as told, writing("runs/x"):
        raise error
    assert told.value is error
