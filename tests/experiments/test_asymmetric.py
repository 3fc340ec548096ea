"""A run of an asymmetric method: its numbers with learned and encoded databases, and rows that come later."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from dseh_tf import load_run
from dseh_tf.data import Split
from dseh_tf.data.images import FileImages
from dseh_tf.errors import InputError
from dseh_tf.retrieval import evaluate, load_codes, unpack
from experiments import evaluation, quantization_gap
from tests.experiments.test_shard_rows import same_folder

SMALL = ("--set=rounds=3", "--set=epochs=1", "--set=sample=48", "--set=batch=16", "--bits=8", "--image_size=12")


@pytest.fixture
def workdir(run, lists, tmp_path):
    folder = tmp_path / "run"
    run(
        "--dataset=image_lists", f"--lists_dir={lists}", f"--data_dir={tmp_path / 'data'}", "--method=adsh", *SMALL,
        f"--workdir={folder}",
    )  # fmt: skip
    return folder


def test_numbers_and_rows_that_come_later(workdir, run, lists, result, tmp_path, capsys):
    codes, found = load_codes(workdir / "codes.npz", bits=8), result(workdir)
    encoder, query = load_run(workdir), unpack(codes.query_codes, 8)
    images = FileImages(tuple(lists / name for name in codes.database_ids))
    database = Split(codes.database_ids, codes.database_labels, images)
    learned, encoded = unpack(codes.database_codes, 8), encoder.encode(database)
    assert (learned != encoded).mean() > 0.01 and len(found["objective"]) == 3
    for name, these in (("map", learned), ("map_encoded_database", encoded)):
        report = evaluate(query, these, codes.query_labels, codes.database_labels)
        assert found[name] == pytest.approx(report.map, rel=1e-9)
    assert found["map"] != found["map_encoded_database"]

    # Four queries join the database: learned codes for its own rows, the network's for them.
    later = Split(
        np.array([*codes.database_ids[10:20], *codes.query_ids[:4]]),
        np.concatenate([codes.database_labels[10:20], codes.query_labels[:4]]),
        FileImages(tuple(lists / name for name in [*codes.database_ids[10:20], *codes.query_ids[:4]])),
    )
    mixed = encoder.encode_database(later)
    np.testing.assert_array_equal(mixed, np.concatenate([learned[10:20], query[:4]]))
    assert evaluate(query, np.concatenate([learned, mixed[10:]]), codes.query_labels,
                    np.concatenate([codes.database_labels, later.labels[10:]])).map > 0  # fmt: skip
    changed = later.labels.copy()
    changed[2] = 1 - changed[2]
    line = f"codes.npz: found other labels of {later.ids[2]} than in the database, expected those that its code"
    with pytest.raises(InputError, match=line):
        encoder.encode_database(replace(later, labels=changed))

    # The trained run without its codes and numbers: they are made again, in shards, learned codes included.
    shutil.copytree(workdir, tmp_path / "shards")
    for name in ("result.json", "codes.npz", "counts.npz"):
        (tmp_path / "shards" / name).unlink()
    run(
        "--dataset=image_lists", f"--lists_dir={lists}", f"--data_dir={tmp_path / 'data'}", "--method=adsh", *SMALL,
        f"--workdir={tmp_path / 'shards'}", "--shard_rows=50",
    )  # fmt: skip
    same_folder(tmp_path / "shards", workdir)
    capsys.readouterr()

    evaluation.print_report(workdir)
    printed = capsys.readouterr().out
    assert f"MAP {found['map_encoded_database']:.4f} (expected over tied orders) with the database encoded" in printed

    # What the signs cost is no matter of the learned codes: both numbers are of an encoded database.
    places = dict.fromkeys(("features", "data_dir", "lists_dir", "images_root"))
    quantization_gap.main([], SimpleNamespace(workdir=str(workdir), **places))
    tied = f"expected over tied orders; {found['map']:.4f} with the learned database codes"
    assert f"MAP of the codes    {found['map_encoded_database']:.4f}  ({tied})" in capsys.readouterr().out


def test_an_encoder_without_its_database(workdir, tmp_path):
    load_run(workdir).save(tmp_path / "exported")
    with pytest.raises(InputError, match=r"^encode_database: found a run without codes.npz"):
        load_run(tmp_path / "exported").encode_database(Split(np.array(["a"]), np.zeros((1, 4), np.uint8)))


def test_a_database_of_other_rows(run, lists, result, tmp_path):
    """database.txt with a row that is not trained on."""
    folder = tmp_path / "lists"
    folder.mkdir()
    for name in ("train", "test"):
        (folder / f"{name}.txt").write_text((lists / f"{name}.txt").read_text())
    train = (lists / "train.txt").read_text().splitlines()
    (folder / "train.txt").write_text("\n".join(train[:-1]) + "\n")
    (folder / "database.txt").write_text("\n".join(train) + "\n")
    line = r"^train rows: found 159 of the 160 database rows and 0 others, expected the whole database"
    with pytest.raises(InputError, match=line):
        run(
            "--dataset=image_lists", f"--lists_dir={folder}", f"--images_root={lists}", f"--data_dir={tmp_path / 'data'}",
            "--method=adsh", *SMALL, f"--workdir={tmp_path / 'run'}",
        )  # fmt: skip
    run(
        "--dataset=image_lists", f"--lists_dir={folder}", f"--images_root={lists}", f"--data_dir={tmp_path / 'data'}",
        "--method=adsh", *SMALL, "--whole_database", f"--workdir={tmp_path / 'whole'}",
    )  # fmt: skip
    found, config = result(tmp_path / "whole"), json.loads((tmp_path / "whole" / "config.json").read_text())
    assert found["n_train"] == found["n_database"] == 160 and config["whole_database"] is True
    codes = load_codes(tmp_path / "whole" / "codes.npz", bits=8)
    learned = unpack(codes.database_codes, 8)
    assert found["map"] == pytest.approx(
        evaluate(unpack(codes.query_codes, 8), learned, codes.query_labels, codes.database_labels).map, rel=1e-9
    )
