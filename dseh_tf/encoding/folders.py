"""Encodes a folder of images into a folder of codes, in chunks. Finished chunks are kept, so that a killed process can
be resumed.

    summary = encode_folder(model, image_files("photographs"), "codes")
    folder = open_codes("codes")
    for ids, codes in folder.chunks(): ...

The folder holds `encode.json` (what is encoded, and by what; written first), `chunk-000000.parquet` and so on, then
`bad_images.csv` and `summary.json` (written last). Does not import TensorFlow.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dseh_tf.data.files import expanded
from dseh_tf.encoding.chunks import Chunk, chunk_name, expected_ids, read_chunk, write_chunk
from dseh_tf.encoding.decode_ahead import decoded
from dseh_tf.encoding.image_names import ImageFiles
from dseh_tf.errors import InputError, brief, whole
from dseh_tf.files import PARTIAL, json_text, read_json, write_json, write_text
from dseh_tf.runs.folder import held

MANIFEST, SUMMARY, BAD = "encode.json", "summary.json", "bad_images.csv"
FORMAT = 1
CHUNK = 1024  # images
BATCH = 256  # images of one call of the model


class Model(Protocol):
    """The interface of an encoder of images.

    Attributes:
        bits: Code length K.
        about: What identifies it, as JSON values.
        image_size: (height, width) of its images.
    """

    @property
    def bits(self) -> int: ...

    @property
    def about(self) -> Mapping[str, Any]: ...

    @property
    def image_size(self) -> tuple[int, int]: ...

    def batch(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Packed codes uint8 [n, ceil(K / 8)] and logits [n, K] of images uint8 [n, *image_size, 3]."""
        ...


@dataclass(frozen=True)
class Plan:
    """What a folder of codes will hold.

    Attributes:
        manifest: The content of encode.json.
        images: The images.
    """

    manifest: Mapping[str, Any]
    images: ImageFiles

    @classmethod
    def of(cls, model: Model, images: ImageFiles, chunk: int = CHUNK, digest: str = "") -> Plan:
        """The plan to encode the images with the model. Takes the same arguments and raises the same errors as `encode_folder`."""
        about = {name: value for name, value in model.about.items() if name != "images"}  # those it was trained on
        facts = {
            "format": FORMAT,
            "model": {**about, "digest": digest},
            "bits": model.bits,
            "images": {"kind": "files", "root": str(images.root), "count": len(images), "digest": images.digest()},
            "chunk": whole(chunk, "chunk", 1),
        }
        text = json_text(facts, indent=None)
        return cls({**json.loads(text), "identity": hashlib.sha256(text.encode()).hexdigest()[:16]}, images)

    @property
    def chunks(self) -> int:
        return -(-len(self.images) // int(self.manifest["chunk"]))

    def ids(self, number: int) -> tuple[str, ...]:
        """The images of a chunk."""
        size = self.manifest["chunk"]
        return self.images.ids[number * size : (number + 1) * size]


@dataclass(frozen=True)
class Summary:
    """The numbers of images, codes (rows) and bad images: images = rows + bad."""

    images: int
    rows: int
    bad: int
    chunks: int


def encode_folder(
    model: Model,
    images: ImageFiles,
    out: Path | str,
    chunk: int = CHUNK,
    digest: str = "",
    threads: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> Summary:
    """Encodes images into a folder of codes. Chunks from an earlier call are checked and kept.

    Images are decoded while the model works; a few batches are in memory at a time.

    Args:
        model: The encoder.
        images: The images.
        out: The folder of codes.
        chunk: Number of images per file.
        digest: Digest of the model's files. Codes of another digest or `about` are another model's.
        threads: Number of decoding threads. Default: one per core, and at least four.
        progress: Called with the number of images done since the last call.

    Returns:
        The numbers of images, codes and bad images.

    Raises:
        InputError: The folder contains other codes or a damaged file; another process is using it; the folder of images
            is missing; no image can be read; or logits are not finite.
    """
    plan, out = Plan.of(model, images, chunk, digest), expanded(out)
    with working(plan, out) as pending:
        work = [(number, plan.ids(number)) for number in pending]
        if progress is not None:
            progress(len(images) - sum(len(ids) for _, ids in work))
        for found in encoded(model, plan.manifest["identity"], images.root, work, threads, progress):
            write_chunk(out / chunk_name(found.number), found)
        return finish(plan, out)


def encoded(
    model: Model,
    identity: str,
    root: Path,
    work: Sequence[tuple[int, tuple[str, ...]]],
    threads: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> Iterator[Chunk]:
    """Yields chunks with their codes. A chunk's codes do not depend on which chunks are encoded with it.

    Args:
        model: The encoder.
        identity: Identity of the plan.
        root: The folder of the images.
        work: The number and the images of each chunk.
        threads: As in `encode_folder`.
        progress: As in `encode_folder`.
    """
    width = -(-model.bits // 8)
    batches = ([root / name for name in batch] for _, ids in work for batch in _batches(ids))
    ahead = decoded(batches, model.image_size, threads)
    for number, ids in work:
        codes, good, bad = [np.empty((0, width), np.uint8)], [], []
        for batch in _batches(ids):
            pixels, faults = next(ahead)
            if faults and not root.is_dir():  # unmounted, perhaps: then its images are not bad
                raise InputError(f"{root}: found that the folder no longer exists, expected the images")
            names = [name for row, name in enumerate(batch) if row not in faults]
            if names:
                packed, logits = model.batch(pixels)
                finite = np.isfinite(logits).all(axis=1)
                if not finite.all():
                    raise InputError(f"{names[finite.argmin()]}: found logits that are not finite, expected numbers")
                codes.append(packed)
            good += names
            bad += [(batch[row], faults[row]) for row in sorted(faults)]
            if progress is not None:
                progress(len(batch))
        yield Chunk(identity, number, tuple(good), np.concatenate(codes), tuple(bad))


def _batches(ids: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    return (ids[first : first + BATCH] for first in range(0, len(ids), BATCH))


@contextmanager
def working(plan: Plan, out: Path) -> Iterator[list[int]]:
    """Makes or checks the folder, keeps other processes out of it inside the block, and gives the chunks to be made.

    Raises InputError like `encode_folder`.
    """
    with held(out, "out", "an encoding"):
        path, names = out / MANIFEST, [entry.name for entry in out.iterdir()]
        if MANIFEST in names:
            _check_same(path, read_json(path, "a folder of codes"), plan.manifest)
        elif any(not name.startswith(".") for name in names):
            raise InputError(f"{out}: found files but no {MANIFEST}, expected a new or empty folder or one of codes")
        else:
            write_json(path, plan.manifest)
        expected = {chunk_name(number) for number in range(plan.chunks)}
        for name in names:
            if name.startswith(PARTIAL):  # of a process that was killed
                (out / name).unlink()
            elif name.startswith("chunk-") and name not in expected:
                raise InputError(f"{out / name}: found a further file of codes, expected {plan.chunks} of them")
        pending = [number for number in range(plan.chunks) if chunk_name(number) not in names]
        for number in sorted(set(range(plan.chunks)) - set(pending)):
            checked_chunk(plan, out, number)
        yield pending


def _check_same(path: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raises InputError, naming the first field that differs, if a folder holds other codes."""
    for field in ("format", "bits", "model", "images", "chunk", "identity"):
        ours, theirs = expected[field], found.get(field)
        if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
            for name in (name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)):
                field, ours, theirs = f"{field}: {name}", ours.get(name), theirs.get(name)
                break
            else:
                continue
        if ours != theirs:
            # Paths may be long, and differ at their end.
            raise InputError(f"{path}: {field}: found {repr(theirs)[:400]}, expected {ours!r}; choose another folder")


def checked_chunk(plan: Plan, out: Path, number: int) -> Chunk:
    """A finished chunk. Raises InputError if it is damaged, or not that of the plan."""
    path = out / chunk_name(number)
    chunk = own_chunk(path, plan.manifest, number)
    if not expected_ids(plan.ids(number), chunk):
        raise InputError(f"{path}: id: found other images than in the list, expected those of chunk {number}")
    return chunk


def own_chunk(path: Path, manifest: Mapping[str, Any], number: int) -> Chunk:
    """A chunk of the folder that the manifest is of. Raises InputError if it is damaged, or another one."""
    chunk = read_chunk(path, manifest["bits"])
    if (chunk.identity, chunk.number) != (manifest["identity"], number):
        raise InputError(
            f"{path}: found chunk {chunk.number} of the encoding {brief(chunk.identity)}, expected {number} of "
            f"{manifest['identity']!r} as in {MANIFEST}"
        )
    return chunk


def finish(plan: Plan, out: Path) -> Summary:
    """Checks that every image has a code or a reason, and writes bad_images.csv and summary.json.

    Raises InputError if a chunk is missing or damaged, or where no image could be read.
    """
    rows = 0
    bad: list[tuple[str, str]] = []
    for number in range(plan.chunks):
        chunk = checked_chunk(plan, out, number)
        rows += len(chunk.ids)
        bad += chunk.bad
    summary = Summary(len(plan.images), rows, len(bad), plan.chunks)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("id", "reason"), *bad])
    write_text(out / BAD, text.getvalue())
    if rows + len(bad) != len(plan.images):
        raise InputError(f"{out}: found {rows} codes and {len(bad)} bad images, expected {len(plan.images)} in total")
    if not rows:
        raise InputError(f"{plan.images.root}: found no image that can be read of {len(bad)} ({out / BAD} says why)")
    write_json(out / SUMMARY, {**vars(summary), "bits": plan.manifest["bits"], "identity": plan.manifest["identity"]})
    return summary
