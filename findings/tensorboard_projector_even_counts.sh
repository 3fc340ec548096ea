#!/usr/bin/env bash
# TensorBoard's projector: a binary tensor file is read or not depending on its values.
#
# Packages (Python 3.11): tensorboard==2.21.0 numpy==2.4.6 (no TensorFlow), protobuf==7.36.2 setuptools==80.9.0
#
# Behaviour:
#   projector_config.pbtxt may name a float32 binary file. TensorBoard first reads every tensor file as text with
#   tab-separated numbers, and falls back to binary only if the bytes are not valid UTF-8. Those of 0, 0.5, 2 and 32 are
#   valid UTF-8. So a matrix of zeros and twos, such as word counts or the features of dead units, gives an error for the
#   whole projector, the runs beside it included. The same matrix plus 1 is shown.
#
# Expected:
#   Both files are read, as tensor_shape tells how.
#
# Seen:
#   counts of 1 and 3 alone: 200 [[4, 3]]
#   counts of 0 and 2 alone: 500
#   both, the run with 1 and 3: 500
#   both, as text: 200 [[4, 3]]
set -euo pipefail
work="$(mktemp -d)"
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    tensorboard==2.21.0 numpy==2.4.6 protobuf==7.36.2 setuptools==80.9.0
cat > "$work/try.py" <<'PYTHON'
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
from tensorboard import program
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.projector import ProjectorConfig
from tensorboard.summary.writer.event_file_writer import EventFileWriter

root = Path(sys.argv[1])
counts = 2 * np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1], [1, 1, 0]], np.float32)


def write(run, values, text=False):
    run.mkdir(parents=True)
    writer = EventFileWriter(str(run))
    writer.add_event(Event(wall_time=1.0, step=1))
    writer.close()
    config = ProjectorConfig()
    embedding = config.embeddings.add(tensor_name="counts", tensor_path="counts.tsv" if text else "counts.bytes")
    embedding.tensor_shape.extend(values.shape)
    if text:
        np.savetxt(run / "counts.tsv", values, delimiter="\t")
    else:
        values.tofile(run / "counts.bytes")
    (run / "projector_config.pbtxt").write_text(str(config))


def seen(logdir, run):
    board = program.TensorBoard()
    board.configure(argv=[None, "--logdir", str(logdir), "--port", "0", "--load_fast=false", "--reload_interval=1"])
    url = board.launch()
    query = urllib.parse.urlencode({"run": run})
    for _ in range(60):
        runs = json.load(urllib.request.urlopen(f"{url}data/runs"))
        if run in runs or not runs:
            break
    try:
        answer = json.load(urllib.request.urlopen(f"{url}data/plugin/projector/info?{query}"))
        return 200, [embedding["tensorShape"] for embedding in answer["embeddings"]]
    except urllib.error.HTTPError as error:
        return (error.code,)


write(root / "a" / "odd", counts + 1)
write(root / "b" / "even", counts)
write(root / "c" / "odd", counts + 1)
write(root / "c" / "even", counts)
write(root / "d" / "even", counts, text=True)
found = {
    "counts of 1 and 3 alone": seen(root / "a", "odd"),
    "counts of 0 and 2 alone": seen(root / "b", "even"),
    "both, the run with 1 and 3": seen(root / "c", "odd"),
    "both, as text": seen(root / "d", "even"),
}
for name, what in found.items():
    print(f"{name}:", *what)
whole = (200, [[4, 3]])
if list(found.values()) != [whole, (500,), (500,), whole]:
    sys.exit("the behaviour has changed")
PYTHON
"$work/venv/bin/python" "$work/try.py" "$work/logs" 2>"$work/err" || { tail -5 "$work/err"; exit 1; }
