#!/usr/bin/env bash
# TensorFlow: where an event file cannot grow, an image is torn without an error, and what is logged later is lost too.
#
# Packages (Python 3.11): tensorflow-cpu==2.21.0 tensorboard==2.20.0
#
# Behaviour:
#   A limit on the size of files stands for a full disk. An image event larger than the writer's buffer is written in
#   part; tf.summary.image, flush and close all succeed. When there is room again (the limit is raised), scalars are
#   written after the torn event without an error, and no reader gets past it: they are lost. Small events do raise.
#
# Expected:
#   An error from the write, flush or close of the image, as for scalars.
#
# Seen:
#   image: raised nothing; 106298 bytes; events read 1; reading ends: DataLossError
#   scalars: raised OutOfRangeError; 100000 bytes; events read 1589; reading ends: at the end of the file
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check tensorflow-cpu==2.21.0 tensorboard==2.20.0
TF_CPP_MIN_LOG_LEVEL=3 "$work/venv/bin/python" - "$work" 2>"$work/log" <<'PYTHON' || { tail -n 3 "$work/log"; exit 1; }
import resource
import signal
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit then fails with EFBIG
noise = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), np.uint8)


def limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def log(kind: str) -> tuple[str, str]:
    """What is raised, and how reading ends."""
    folder = Path(sys.argv[1], kind)
    writer, raised, events, end = tf.summary.create_file_writer(str(folder)), "nothing", 0, "at the end of the file"
    limit(100_000)
    try:
        with writer.as_default():
            for step in range(1 if kind == "image" else 3000):
                if kind == "image":
                    tf.summary.image("noise", noise, step)
                else:
                    tf.summary.scalar("loss", 1.0, step)
            writer.flush()
            limit(resource.RLIM_INFINITY)
            for step in range(100):
                tf.summary.scalar("later", 1.0, step)
        writer.close()
    except tf.errors.OpError as error:
        raised = type(error).__name__
    limit(resource.RLIM_INFINITY)
    (file,) = folder.iterdir()
    try:
        for _ in tf.data.TFRecordDataset(str(file)):
            events += 1
    except tf.errors.DataLossError as error:
        end = type(error).__name__
    print(f"{kind}: raised {raised}; {file.stat().st_size} bytes; events read {events}; reading ends: {end}")
    return raised, end


image, scalars = log("image"), log("scalars")
if image != ("nothing", "DataLossError") or scalars[0] == "nothing":
    sys.exit("the behaviour has changed")
PYTHON
