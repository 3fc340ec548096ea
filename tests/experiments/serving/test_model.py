"""The two kinds of models that are served: a run folder and its export give the same codes."""

import numpy as np
import pytest

from dseh_tf.errors import InputError
from dseh_tf.export import export_run
from experiments.serving.model import open_model
from tests.export.runs import dataset, shallow_run


def test_an_export_encodes_as_its_run(tf, tmp_path):
    shallow_run(tmp_path / "run")
    data = dataset(9, 11)
    export_run(tmp_path / "run", tmp_path / "export", data)
    run, export = open_model(tmp_path / "run"), open_model(tmp_path / "export")
    images = [data.query.images.read(0), np.full((30, 20, 3), 200, np.uint8)]
    np.testing.assert_array_equal(export.encode(images), run.encode(images))
    assert export.bits == run.bits and not export.reads_words and not run.reads_words
    with pytest.raises(InputError, match="an export, which encodes images only"):
        export.encode_texts(["a"])
    with pytest.raises(InputError, match=r"--backbone: found x\.keras, but .* is an export with its backbone inside"):
        open_model(tmp_path / "export", "x.keras")
