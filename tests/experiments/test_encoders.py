"""The encoder that a run leaves behind: shallow methods on raw images and on a frozen backbone, through `load_run`."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from absl import flags

from dseh_tf import load_run
from dseh_tf.data.decoding import decode_file
from dseh_tf.devices import replicas
from dseh_tf.encoding import shallow
from dseh_tf.errors import InputError
from dseh_tf.retrieval import load_codes, pack
from experiments import program, query
from tests.experiments.test_extract_features import network  # noqa: F401  a fixture
from tests.experiments.test_quantization_gap import gap, numbers  # noqa: F401  a fixture


def ask(capsys, *arguments: str) -> str:
    values = flags.FlagValues()
    query.define_flags(values)
    left = program.parsed(["query", *map(str, arguments)], values)
    capsys.readouterr()
    query.main(left, values)
    return capsys.readouterr().out


@pytest.mark.parametrize("method", [["--method=itq"], ["--method=ksh", "--set=anchors=40"]], ids=["itq", "ksh"])
@pytest.mark.parametrize("frozen", [False, True], ids=["pixels", "backbone"])
def test_a_shallow_run_is_queried(run, gap, lists, network, tmp_path, method, frozen, capsys, result):  # noqa: F811
    """Paths and arrays of the run's own queries have the run's codes; the program finds what these codes find."""
    workdir = tmp_path / "run"
    trunk = [f"--backbone={network}", "--image_size=12"] if frozen else []
    data = ["--dataset=image_lists", f"--lists_dir={lists}", f"--data_dir={tmp_path / 'data'}"]
    run(*data, *method, "--bits=8", *trunk, f"--workdir={workdir}")
    assert (workdir / "encoder.npz").exists() and not (workdir / "imgnet.keras").exists()
    codes = load_codes(workdir / "codes.npz")
    paths = [lists / name for name in codes.query_ids]
    mixed = [decode_file(path) if row % 2 else path for row, path in enumerate(paths)]
    encoder = load_run(workdir)
    np.testing.assert_array_equal(pack(encoder.encode(mixed)), codes.query_codes)
    assert encoder.encode([np.zeros((31, 7, 3), np.uint8)]).shape == (1, 8)

    printed = ask(capsys, f"--workdir={workdir}", paths[0], "--top=2").splitlines()
    distances = np.unpackbits(codes.database_codes ^ codes.query_codes[0], axis=1).sum(axis=1)
    nearest = np.argsort(distances, kind="stable")[:2]
    assert printed[:3] == [str(paths[0]), *(f"  {distances[row]:3d}  {codes.database_ids[row]}" for row in nearest)]
    found = numbers(gap(workdir))
    assert found["MAP of the codes"] == pytest.approx(result(workdir)["map"], abs=6e-5)
    assert found["MAP of the outputs"] != found["MAP of the codes"]


def test_a_backbone_that_moved(run, lists, network, tmp_path, capsys):  # noqa: F811
    """Named by `backbone=` and --backbone; only the run's own file is taken."""
    first, moved, workdir = tmp_path / "trunk.keras", tmp_path / "elsewhere.keras", tmp_path / "run"
    first.write_bytes(network.read_bytes())
    data = ["--dataset=image_lists", f"--lists_dir={lists}", f"--data_dir={tmp_path / 'data'}"]
    run(*data, "--method=lsh", "--bits=8", f"--backbone={first}", "--image_size=12", f"--workdir={workdir}")
    codes = load_codes(workdir / "codes.npz")
    image = lists / codes.query_ids[0]
    shutil.move(first, moved)
    with pytest.raises(
        InputError, match=r"trunk\.keras: found no such file, expected the backbone that the run was made with"
    ):
        load_run(workdir).encode([image])
    np.testing.assert_array_equal(pack(load_run(workdir, backbone=moved).encode([image])), codes.query_codes[:1])
    assert "distance" in ask(capsys, f"--workdir={workdir}", image, f"--backbone={moved}")
    load_run(workdir, backbone=moved).save(tmp_path / "alone")
    with pytest.raises(InputError, match="alone: found files, expected a new or empty folder"):
        load_run(workdir, backbone=moved).save(tmp_path / "alone")
    moved.write_bytes(network.read_bytes()[:-1])
    with pytest.raises(
        InputError, match=r"elsewhere\.keras: found another file, expected the backbone that the run was made"
    ):
        load_run(workdir, backbone=moved)
    moved.unlink()
    assert sorted(path.name for path in (tmp_path / "alone").iterdir()) == [
        "backbone.keras",
        "config.json",
        "encoder.npz",
    ]
    np.testing.assert_array_equal(pack(load_run(tmp_path / "alone").encode([image])), codes.query_codes[:1])


def test_runs_without_an_encoder(run, label_lists, tmp_path, capsys):
    """Labels alone; and a shallow run of an earlier version, which did not save its encoder."""
    workdir = tmp_path / "run"
    run("--dataset=image_lists", f"--lists_dir={label_lists}", "--phases=labnet", "--labnet_epochs=1", "--rounds=1",
        "--bits=8", "--set=labnet_width=32", f"--workdir={workdir}")  # fmt: skip
    with pytest.raises(
        InputError, match=r"found neither imgnet\.keras nor encoder\.npz \(the run trained on labels alone\)"
    ):
        load_run(workdir)
    config = json.loads((workdir / "config.json").read_text())
    earlier = {name: value for name, value in config.items() if name not in ("format", "identity")}
    (workdir / "config.json").write_text(json.dumps({**earlier, "phases": "all", "method": "itq"}))
    with pytest.raises(
        InputError, match=r"found neither .* \(a run of itq by an earlier version, or a method without a saved"
    ):
        load_run(workdir)


@pytest.mark.parametrize("frozen", [True, False], ids=["backbone", "pixels"])
def test_single_images_without_padding(tf, network, tmp_path, monkeypatch, frozen):  # noqa: F811
    """`batch=1` passes each image alone through the network, and gives the same values but for rounding."""
    rng = np.random.default_rng(0)
    size = 12
    trunk = {
        "backbone": str(network) if frozen else "compact",
        "image_size": size,
        "train": not frozen,
        "scaling": None,
    }
    (tmp_path / "config.json").write_text(json.dumps({"bits": 8, "seed": 0, "method": "x", "trunk": trunk}))
    if frozen:
        dim = tf.keras.models.load_model(network, compile=False).output_shape[1]
        rows = shallow.Rows(False, np.zeros(dim))
        shallow.Projection(rows=rows, image_shape=None, weights=rng.normal(size=(dim, 8))).save(
            tmp_path / "encoder.npz"
        )
    else:
        pixels = tf.keras.Input((size, size, 3))
        logits = tf.keras.layers.Dense(8)(tf.keras.layers.Flatten()(tf.keras.layers.Rescaling(1 / 255)(pixels)))
        tf.keras.Model(pixels, {"logits": logits}).save(tmp_path / "imgnet.keras")
    passes, forward = [], replicas.RowStream.__call__
    monkeypatch.setattr(
        replicas.RowStream, "__call__", lambda self, rows, most: passes.append(most) or forward(self, rows, most)
    )
    images = rng.integers(0, 256, (5, size, size, 3), np.uint8)
    together, alone = load_run(tmp_path), load_run(tmp_path, batch=1)
    np.testing.assert_allclose(alone.outputs(images), together.outputs(images), rtol=1e-4, atol=1e-4)
    assert passes == [1, 64 if frozen else 256]
    with pytest.raises(InputError, match="batch: found 0, expected a positive number"):
        load_run(tmp_path, batch=0)
