"""What TensorBoard reads of a run, and summaries on a full disk."""

from __future__ import annotations

import collections
import errno
import os
import shutil

import numpy as np
import pytest

from dseh_tf.errors import refusal
from dseh_tf.retrieval import Counts


def test_a_full_disk_is_told(tf, tmp_path, monkeypatch):
    """TensorFlow's writer drops large events on a full disk, and write, flush and close report nothing."""
    from dseh_tf.training.summaries import Summaries

    summaries = Summaries(tmp_path / "tb")
    summaries.histogram("x", np.arange(9.0), 0)
    summaries.flush()
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 10, 0))
    with pytest.raises(OSError) as error:
        summaries.flush()
    assert refusal(error.value) == f"{tmp_path / 'tb'}: {os.strerror(errno.ENOSPC)}"
    Summaries(None).flush()


def test_the_curve_has_a_point_for_each_radius(tf, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    from dseh_tf.training.summaries import Summaries

    rng = np.random.default_rng(0)
    bits, queries, items = 6, 4, 50
    codes = rng.random((queries, bits)) < 0.5, rng.random((items, bits)) < 0.5
    distance = (codes[0][:, None] != codes[1][None]).sum(axis=2)
    distance[distance == 0] = 1  # radius 0 retrieves nothing
    relevant = rng.random((queries, items)) < 0.3
    total = np.stack([(distance == d).sum(axis=1) for d in range(bits + 1)], axis=1)
    hits = np.stack([((distance == d) & relevant).sum(axis=1) for d in range(bits + 1)], axis=1)
    summaries = Summaries(tmp_path)
    summaries.precision_recall("curve", Counts(hits, total), 3)
    summaries.flush()

    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    events.Reload()
    (event,) = events.Tensors("curve/pr_curves")
    found = tensor_util.make_ndarray(event.tensor_proto)
    assert event.step == 3 and found.shape == (6, bits + 1) and np.isfinite(found).all()
    for place, threshold in enumerate(np.linspace(0, 1, bits + 1)):
        near = distance <= bits * (1 - threshold) + 1e-9
        counts = [
            (near & relevant).sum(),
            (near & ~relevant).sum(),
            (~near & ~relevant).sum(),
            (~near & relevant).sum(),
        ]
        assert found[:4, place].tolist() == counts
        assert found[4, place] == pytest.approx(counts[0] / max(near.sum(), 1))
        assert found[5, place] == pytest.approx(counts[0] / relevant.sum())
    assert found[:2, -1].tolist() == [0, 0]


def test_the_projector_reads_its_files(tf, tmp_path):
    """Through the plugin's own readers; features that are all 0 and a label with a tab among them."""
    from google.protobuf import text_format
    from PIL import Image
    from tensorboard.plugins.projector import ProjectorConfig, projector_plugin

    from dseh_tf.training.projector import write_projector

    rng = np.random.default_rng(0)
    features = {"labnet": np.zeros((5, 3), np.float16), "imgnet": rng.standard_normal((5, 3)).astype(np.float16)}
    images = rng.integers(0, 256, (5, 4, 4, 3), np.uint8)
    write_projector(tmp_path, features, [f"id{i}" for i in range(5)], ["a\tb", "", "c, d", "e", "f"], images)
    config = text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), ProjectorConfig())
    assert [embedding.tensor_name for embedding in config.embeddings] == ["labnet", "imgnet"]
    for embedding in config.embeddings:
        found = projector_plugin._read_tensor_tsv_file(str(tmp_path / embedding.tensor_path))
        assert list(embedding.tensor_shape) == [5, 3]
        np.testing.assert_allclose(found, features[embedding.tensor_name], rtol=1e-4)
        lines = (tmp_path / embedding.metadata_path).read_text().splitlines()
        assert lines[:3] == ["label\tid", "a b\tid0", "-\tid1"] and len(lines) == 6
        assert list(embedding.sprite.single_image_dim) == [4, 4]
        assert Image.open(tmp_path / embedding.sprite.image_path).size == (12, 12)
    write_projector(tmp_path / ".", {"x": features["imgnet"]}, list("abcde"), list("abcde"))
    assert "sprite" not in (tmp_path / "projector_config.pbtxt").read_text()
