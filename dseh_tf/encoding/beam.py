"""`encode_folder` with Apache Beam, for several machines: the same folder, the same chunks, the same bytes.

The unit of work is a chunk: a worker reads and resizes its images, encodes them, and writes the file itself, first
under a temporary name. If a chunk is encoded twice because the first attempt failed, it is replaced by the same bytes.
All workers must see the folders of images, model and codes at the same paths.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineState, create_runner
from apache_beam.utils.shared import Shared

from dseh_tf.encoding.chunks import chunk_name, write_chunk
from dseh_tf.encoding.folders import Model, Plan, Summary, encoded, finish, working
from dseh_tf.errors import InputError, brief
from dseh_tf.files import replacing

LIST = "image_list.jsonl"  # the ids of each chunk, a line each
Place = tuple[int, int, int]  # of a chunk in it: its number, its first byte, its bytes


class _Held:
    """The model of a process. Threads use it one at a time, because not all runtimes support concurrent calls."""

    def __init__(self, model: Model) -> None:
        self._model, self._lock = model, threading.Lock()
        self.bits, self.about, self.image_size = model.bits, model.about, model.image_size

    def batch(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with self._lock:
            return self._model.batch(images)


class EncodeChunk(beam.DoFn):
    """Encodes chunks into their files, and yields their numbers.

    Args:
        open_model: Opens the model; called once a process, by the first of its threads.
        identity: Identity of the plan.
        root: The folder of the images.
        out: The folder of codes.
    """

    def __init__(self, open_model: Callable[[], Model], identity: str, root: str, out: str) -> None:
        self._open, self._identity, self._root, self._out = open_model, identity, root, out
        self._shared = Shared()

    def setup(self) -> None:
        self._model = self._shared.acquire(lambda: _Held(self._open()))

    def process(self, place: Place) -> Iterator[int]:
        number, first, length = place
        with (Path(self._out) / LIST).open("rb") as file:
            file.seek(first)
            ids = tuple(json.loads(file.read(length)))
        for chunk in encoded(self._model, self._identity, Path(self._root), [(number, ids)]):
            write_chunk(Path(self._out) / chunk_name(number), chunk, mark=uuid.uuid4().hex)
            yield number


def encode_with_beam(
    plan: Plan, out: Path, open_model: Callable[[], Model], runner: str, options: Sequence[str] = ()
) -> Summary:
    """Encodes images into a folder of codes with Beam. Existing chunks are checked and kept.

    Args:
        plan: What is encoded.
        out: The folder of codes.
        open_model: Opens the model of the plan on a worker; it is pickled.
        runner: Name of a runner: FnApiRunner, FlinkRunner, SparkRunner, DataflowRunner, ...
        options: Beam's pipeline options, as `--name=value`.

    Returns:
        The numbers of images, codes and bad images.

    Raises:
        InputError: As in `encode_folder`; also an unknown runner or option.
        RuntimeError: The pipeline failed; the chunks that it finished stay.
    """
    chosen, parsed = _runner(runner), _options(options)
    with working(plan, out) as pending:
        if pending:
            places = _write_list(plan, out)
            step = EncodeChunk(open_model, plan.manifest["identity"], str(plan.images.root), str(out.absolute()))
            pipeline = beam.Pipeline(runner=chosen, options=parsed)
            # The chunks come from one place: Reshuffle lets all workers take of them.
            chunks = pipeline | "chunks" >> beam.Create([places[number] for number in pending])
            _ = chunks | "spread" >> beam.Reshuffle() | "encode" >> beam.ParDo(step)
            _run(pipeline)
        return finish(plan, out)


def _write_list(plan: Plan, out: Path) -> list[Place]:
    """Writes the ids of every chunk to a file, so that the pipeline's description does not grow with them."""
    places, first = [], 0
    with replacing(out / LIST) as partial, partial.open("wb") as file:
        for number in range(plan.chunks):
            line = json.dumps(plan.ids(number)).encode() + b"\n"
            file.write(line)
            places.append((number, first, len(line)))
            first += len(line)
    return places


def _run(pipeline: beam.Pipeline) -> None:
    try:
        state = pipeline.run().wait_until_finish()
    except Exception as error:
        # Of a worker in another process or on another machine, the message is its traceback.
        found = [str(error)] if isinstance(error, InputError) else re.findall(r"InputError: (.*)", str(error))
        if found:
            raise InputError(found[-1].partition(" [while running ")[0]) from None
        raise
    if state != PipelineState.DONE:
        raise RuntimeError(f"the pipeline ended as {state}, not as {PipelineState.DONE}")


def _runner(name: str) -> Any:
    try:
        return create_runner(name)
    except Exception as error:  # a name may be any importable object
        raise InputError(
            f"runner: found {brief(name)} ({brief(str(error))[1:-1]}), expected FnApiRunner, FlinkRunner, SparkRunner or "
            "DataflowRunner"
        ) from None


def _options(options: Sequence[str]) -> PipelineOptions:
    """Beam drops options that it does not know with a warning; here they are errors."""
    known, said = PipelineOptions([]).get_all_options(), io.StringIO()
    unknown = [option for option in options if not option.startswith("-")]
    try:
        with contextlib.redirect_stderr(said):
            parsed = PipelineOptions([option for option in options if option not in unknown], save_main_session=False)
            every = parsed.get_all_options(retain_unknown_options=True)
    except SystemExit:  # argparse
        why = said.getvalue().strip().rpartition("error: ")[2]
        raise InputError(f"options of Beam: found {brief(' '.join(options))} ({why}), expected --name=value") from None
    unknown += [f"--{name}" for name in every if name not in known]
    if unknown:
        raise InputError(
            f"options of Beam: found {', '.join(unknown)}, expected pipeline options of Beam as --name=value"
        )
    return parsed
