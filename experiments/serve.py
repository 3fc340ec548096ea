"""Serves an index as a web page and a JSON API, to search by images, words or items.

    python -m experiments.serve --index=photographs.index --model=runs/x
    python -m experiments.serve --index=a.index --model=runs/a --index=b.index --model=runs/b --port=8080

Drop, paste or choose an image to see the nearest items with their distances and labels; click an item to search with
it. `--model` is the run folder that made the codes in the index, or an export of it; without it, searches start from an
item or a code. Two indexes are shown side by side. By default, only this machine can reach the server; see `--host`. It
needs `pip install 'dseh_tf[serve]'`.
"""

from __future__ import annotations

import errno
import ipaddress
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from dseh_tf.errors import InputError
from dseh_tf.retrieval.search import open_index
from experiments import program
from experiments.search import check_model

if TYPE_CHECKING:
    from experiments.serving.served import Served

MOST_INDEXES = 2


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags. Called when the program is run and not on import, because other programs use the same names."""
    own: dict[str, Any] = {"flag_values": values}
    what = "The file that experiments.index wrote, or the address of a database. Give it twice to compare two."
    program.DEFINE_multi_path("index", [], what, **own)
    encoder = "Run folder or export that encodes query images: one for each index, in the same order, or none."
    program.DEFINE_multi_path("model", [], encoder, **own)
    where = "Folder of the images: one for all indexes, or one for each. Default: the one that the run used."
    program.DEFINE_multi_path("images_root", [], where, **own)
    network = "File of a run's frozen backbone or its weights, if it has moved: one for all models, or one for each."
    program.DEFINE_multi_path("backbone", [], network, **own)
    mixed = "Allow a model whose precision differs from that of the index's codes, such as litert_int8."
    flags.DEFINE_bool("allow_mixed", False, mixed, **own)
    flags.DEFINE_integer("port", 8000, "Port; 0 chooses a free one.", lower_bound=0, upper_bound=65535, **own)
    host = "Address to listen on. 0.0.0.0 lets other machines search the index and see its images, without a password."
    flags.DEFINE_string("host", "127.0.0.1", host, **own)
    names = "A name by which the server may be addressed, besides localhost and IP addresses."
    flags.DEFINE_multi_string("allowed_host", [], names, **own)
    flags.DEFINE_float("max_megabytes", 20, "Size limit of an uploaded file.", lower_bound=0.001, **own)
    flags.DEFINE_float("max_megapixels", 64, "Size limit of an image.", lower_bound=0.001, **own)
    flags.DEFINE_float(
        "time_limit", 30, "Time limit in seconds for uploading a query, and for encoding it.", lower_bound=0.1, **own
    )
    flags.DEFINE_integer("encodes", 1, "Number of queries to encode at the same time.", lower_bound=1, **own)


def main(arguments: list[str], given: Any = flags.FLAGS) -> int:
    uvicorn = _uvicorn()
    from experiments.serving.app import create_app
    from experiments.serving.limits import Limits

    limits = Limits(
        bytes=int(given.max_megabytes * 2**20),
        pixels=int(given.max_megapixels * 1e6),
        seconds=given.time_limit,
        encodes=given.encodes,
    )
    check(given)
    listening = listen(given.host, given.port)
    with listening:
        runs = opened(given, limits)
        try:
            app = create_app(runs, limits, [given.host, *given.allowed_host])
            _run(uvicorn, app, listening, url(listening))
        finally:
            for run in runs:
                run.close()
    print("stopped", file=sys.stderr)
    return 0


def check(given: Any) -> None:
    """Raises InputError if flags do not fit together, or an index does not fit its model. No TensorFlow is loaded."""
    if not 1 <= len(given.index) <= MOST_INDEXES:
        raise InputError(f"--index: found {len(given.index) or 'none'}, expected one, or {MOST_INDEXES} to compare")
    if given.model and len(given.model) != len(given.index):
        raise InputError(f"--model: found {len(given.model)}, expected none or one for each --index")
    each("images_root", given.images_root, len(given.index))
    each("backbone", given.backbone, len(given.model))
    for place, folder in zip(given.index, given.model or [None] * len(given.index), strict=True):
        index = open_index(place, read_only=True)
        try:
            if folder is not None:
                check_model(index, Path(folder), given.allow_mixed)
        finally:
            index.close()


def each(flag: str, values: Sequence[str], count: int) -> list[str | None]:
    """One value for each of `count`: the values, or the only one for all."""
    if len(values) not in (0, 1, count):
        raise InputError(f"--{flag}: found {len(values)}, expected one, or one for each of {count}")
    return list(values) if len(values) == count else [values[0] if values else None] * count


def opened(given: Any, limits: Any) -> list[Served]:
    """The indexes with their models. Raises InputError on what cannot be read."""
    from experiments.serving.model import open_model
    from experiments.serving.served import Served

    backbones = each("backbone", given.backbone, len(given.model))
    models = [open_model(Path(folder), network) for folder, network in zip(given.model, backbones, strict=True)]
    roots = each("images_root", given.images_root, len(given.index))
    return [
        Served(number, place, models[number] if models else None, roots[number], limits, given.allow_mixed)
        for number, place in enumerate(given.index)
    ]


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises InputError if the port is taken or the address is not this machine's.

    It listens before models are loaded: a port in use is found at once, and a browser that comes early waits.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
            found.listen(128)
        except OSError:
            found.close()
            raise
    except socket.gaierror:
        raise InputError(f"--host: found {host!r}, expected an address or a name of this machine") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(f"--port: found {port}, which is in use, expected a free one (0 takes any)") from None
        if error.errno == errno.EACCES:
            raise InputError(f"--port: found {port}, which needs more privileges, expected 1024 or more") from None
        raise InputError(f"--host: found {host!r}, expected an address of this machine ({error.strerror})") from None
    return found


def url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def _run(uvicorn: Any, app: Any, listening: socket.socket, address: str) -> None:
    """Serves until SIGINT or SIGTERM."""
    config = uvicorn.Config(
        app, log_config=None, log_level="warning", access_log=False, server_header=False, proxy_headers=False,
        lifespan="off", ws="none", timeout_graceful_shutdown=5,
    )  # fmt: skip
    print(f"serving at {address} (Ctrl-C stops)", flush=True)
    if not ipaddress.ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback:
        print("warning: other machines can search this index and see its images; there is no password", file=sys.stderr)
    # uvicorn raises the signal that stopped it again, for the handlers that were there before.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listening])


def _uvicorn() -> Any:
    try:
        import fastapi  # noqa: F401
        import uvicorn
    except ModuleNotFoundError as error:
        raise InputError(
            f"found no package {error.name}, which experiments.serve needs: pip install 'dseh_tf[serve]'"
        ) from None
    return uvicorn


if __name__ == "__main__":
    define_flags()
    program.run(main)
