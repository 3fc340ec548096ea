"""The graphs of training steps: what a GPU can run of them, and XLA's form beside the plain one. No GPU is needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pytest

from dseh_tf.methods import METHODS

from .small import fit
from .test_battery import FULL
from .test_bfloat16 import squares

pytestmark = pytest.mark.usefixtures("tf")

# Masks of dropout are other ones under XLA.
SHORT = {"dropout": 0.0, "epochs": 1, "rounds": 1, "labnet_epochs": 1, "imgnet_epochs": 1, "labnet_steps": 3}

# With deterministic operations these copy their whole variable or tensor to the host, or raise an error, on a GPU.
# TensorFlow 2.21: core/kernels/scatter_nd_op.cc and resource_variable_ops.cc (copied), bincount_op_gpu.cu.cc, xent_op.cc,
# sparse_xent_op.cc, sparse_tensor_dense_matmul_op_gpu.cu.cc, fake_quant_ops.cc, scatter_op.cc and crop_and_resize_op.cc (errors
# where OpDeterminismRequired). Segment sums have deterministic kernels.
NOT_ON_GPU = {
    "ScatterNd", "ScatterNdUpdate", "ScatterNdAdd", "ScatterNdSub", "ResourceScatterNdUpdate", "ResourceScatterNdAdd",
    "ResourceScatterNdSub", "TensorScatterUpdate", "TensorScatterAdd", "TensorScatterSub", "ResourceScatterUpdate",
    "ResourceScatterAdd", "ResourceScatterSub", "ScatterUpdate", "ScatterAdd", "ScatterSub",
    "Bincount", "DenseBincount", "SparseBincount", "SoftmaxCrossEntropyWithLogits", "SparseSoftmaxCrossEntropyWithLogits",
    "SparseTensorDenseMatMul", "FakeQuantWithMinMaxVarsGradient", "FakeQuantWithMinMaxVarsPerChannelGradient",
    "CropAndResizeGradImage", "CropAndResizeGradBoxes", "PyFunc", "EagerPyFunc", "PyFuncStateless",
}  # fmt: skip

# Texts of a batch are laid out on the host, where they come from.
ON_HOST = {"djsrh": {"ScatterNd"}, "ssah": {"ScatterNd"}}


def short(name: str) -> dict[str, object]:
    kind = METHODS[name]
    known = {field.name for field in fields(kind.Settings)} | set(kind.OPTIONS)
    return {key: value for key, value in SHORT.items() if key in known}


def operations(loop) -> Iterator[str]:
    """The operations of a tf.function, those of the functions it calls included."""
    for concrete in loop._list_all_concrete_functions():
        graph = concrete.graph.as_graph_def()
        yield from (node.op for node in graph.node)
        yield from (node.op for function in graph.library.function for node in function.node_def)


@pytest.fixture(scope="module")
def plain(tf):
    """plain(name): traces and operations by phase of a short fit, with banks updated as on a GPU."""
    from dseh_tf.devices import replicas
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.training.trainer import Trainer

    tf.config.experimental.enable_op_determinism()
    made: dict[str, SimpleNamespace] = {}

    def of(name: str) -> SimpleNamespace:
        if name not in made:
            trainers = []
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(replicas, "on_gpu", lambda variable: True)
                begin = Trainer.__init__
                patch.setattr(Trainer, "__init__", lambda self, *given: (trainers.append(self), begin(self, *given))[1])
                fitted = fit(name, Runtime(progress=False), **short(name))
            found = {phase: set(operations(loop)) for trainer in trainers for phase, loop in trainer._loops.items()}
            made[name] = SimpleNamespace(traces=fitted.traces, operations=found)
        return made[name]

    return of


@pytest.mark.parametrize("name", FULL)
def test_steps_stay_on_a_gpu(plain, name):
    """Every operation has a kernel for GPUs, and none leaves the GPU under determinism.

    Kernels are those that this build of TensorFlow registers; a build without GPUs has none to ask about.
    """
    from tensorflow.python.framework import kernels

    if not any(kernel.device_type == "GPU" for kernel in kernels.get_registered_kernels_for_op("MatMul").kernel):
        pytest.skip("this build of TensorFlow has no kernels for GPUs")
    assert plain(name).operations
    for phase, found in plain(name).operations.items():
        assert {"MatMul", "StatelessIf", "While", "StatelessWhile"} & found, phase
        assert not (found & NOT_ON_GPU) - ON_HOST.get(name, set()), phase
        for operation in found:
            devices = {kernel.device_type for kernel in kernels.get_registered_kernels_for_op(operation).kernel}
            assert not devices or devices & {"GPU", "DEFAULT"}, f"{phase}: {operation} has kernels for {devices}"


@pytest.mark.parametrize("name", FULL)
def test_compiled_steps_have_the_same_losses(plain, name):
    """Under XLA banks are updated by a scatter: this compares both forms of the update too."""
    from dseh_tf.devices.runtime import Runtime

    expected = plain(name).traces
    compiled = fit(name, Runtime(progress=False, jit_compile=True), **short(name)).traces
    assert set(compiled) == set(expected)
    for term, trace in expected.items():
        assert len(trace) >= 2
        np.testing.assert_allclose(compiled[term], trace, rtol=1e-3, atol=1e-5, err_msg=term)


def test_compiled_steps_on_images(tf):
    """Max-pooling, whose own gradient XLA cannot compile with deterministic operations."""
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods.image_encoder import Trunk

    tf.config.experimental.enable_op_determinism()
    trunk = Trunk("compact", 16, mirror=False)
    compiled, plain = (
        METHODS["dpsh"](8, seed=1, trunk=trunk, epochs=1, dropout=0.0)
        .fit(squares(), Runtime(progress=False, jit_compile=jit))
        .traces["dpsh/0/total"]
        for jit in (True, False)
    )
    np.testing.assert_allclose(compiled, plain, rtol=1e-3)
