#!/usr/bin/env bash
# ONNX Runtime: with dynamic quantization the hash code of an image depends on the other images of its batch.
#
# Packages (Python 3.11): onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6 sympy==1.14.0
#
# Behaviour:
#   quantize_dynamic makes the weights int8 and quantizes the activations while the model runs. Their scale is taken
#   over the whole input tensor, that is over all images of the batch. So the logits of an image, and the bits that are
#   the signs of its logits, differ between batch 1 and batch 64. The float model gives the same bits in every batch.
#
# Expected:
#   The model has no operation across images, so an image has one code.
#
# Seen:
#   float32: 0 of 4096 bits and 0 of 64 codes differ between batch 64 and batch 1
#   dynamic int8: 14 of 4096 bits and 12 of 64 codes differ between batch 64 and batch 1
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check \
    onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6 sympy==1.14.0
"$work/venv/bin/python" - <<'PYTHON'
import logging
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic

logging.disable(logging.WARNING)  # it recommends a preprocessing step that does not matter for one MatMul
rng = np.random.default_rng(0)
features = rng.standard_normal((64, 128)).astype(np.float32)
weights = numpy_helper.from_array(rng.standard_normal((128, 64)).astype(np.float32), "weights")
graph = helper.make_graph(
    [helper.make_node("MatMul", ["features", "weights"], ["logits"])],
    "encoder",
    [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["images", 128])],
    [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["images", 64])],
    [weights],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def changed(file: Path) -> tuple[int, int]:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def bits(batch: np.ndarray) -> np.ndarray:
        return session.run(None, {"features": batch})[0] >= 0

    alone = np.concatenate([bits(features[i : i + 1]) for i in range(64)])
    differ = bits(features) != alone
    return int(differ.sum()), int(differ.any(axis=1).sum())


with tempfile.TemporaryDirectory() as folder:
    exact, quantized = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
    onnx.save(model, str(exact))
    quantize_dynamic(str(exact), str(quantized))
    seen = {"float32": changed(exact), "dynamic int8": changed(quantized)}
for name, (bits_changed, codes_changed) in seen.items():
    print(f"{name}: {bits_changed} of 4096 bits and {codes_changed} of 64 codes differ between batch 64 and batch 1")
if seen["float32"] != (0, 0) or seen["dynamic int8"][0] == 0:
    sys.exit("the behaviour has changed")
PYTHON
