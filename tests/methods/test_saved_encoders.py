"""Every registered method: what it saves gives the same outputs and codes in another process, through `load_run`."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from .cross_modal.small import with_texts
from .toy import clusters

BITS = 6
QUICK = {"anchors": 30, "epochs": 1, "labnet_epochs": (1,), "imgnet_epochs": (1,)}
QUICK_OF = {"fasth": {"rounds": 5}, "sdh": {"width": 1.0}, "ksh": {"iterations": 20}}
PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from dseh_tf import load_run

root = Path(sys.argv[1])
assert "tensorflow" not in sys.modules
for folder in sorted(path for path in root.iterdir() if path.is_dir()):
    encoder, features = load_run(folder), np.load(root / "features.npy")
    arrays = {"codes": encoder.encode(features), "outputs": encoder.outputs(features)}
    if (folder / "txtnet.keras").exists():
        texts = np.load(root / "texts.npy")
        arrays |= {"texts": encoder.encode_texts(texts), "words": encoder.encode_texts(["word3 word0", "word8"])}
        encoder.save(root / "moved")
        arrays["moved"] = load_run(root / "moved").encode_texts(texts)
    np.savez(root / f"{folder.name}.npz", **arrays)
    if (folder / "encoder.npz").exists():
        print(folder.name, "tensorflow" in sys.modules, flush=True)
"""


@pytest.mark.usefixtures("tf")
def test_every_method_is_loaded_in_a_fresh_process(tmp_path):
    from dseh_tf.devices.runtime import Runtime
    from dseh_tf.methods import METHODS

    data = with_texts(clusters(rows=130, width=12))
    expected, texts = {}, {}
    for name, kind in METHODS.items():
        known = {field.name for field in fields(kind.Settings)}
        settings = {key: value for key, value in QUICK.items() if key in known} | QUICK_OF.get(name, {})
        fitted = kind(BITS, 0, **settings).fit(data, Runtime(progress=False))
        outputs = np.concatenate(list(fitted.encoder.values(data.database)))
        assert len(np.unique(outputs)) > 100, name
        expected[name] = fitted.encode(data.database), outputs
        if kind.needs_texts:
            words = np.zeros((2, data.train.texts.shape[1]), np.float32)
            words[0, [0, 3]] = words[1, 8] = 1
            texts[name] = fitted.encode(data.database, "text"), fitted.encode(words, "text")
        assert fitted.encoder_file in ("encoder.npz", "imgnet.keras"), name
        # Those with arrays first: they need no TensorFlow.
        folder = tmp_path / f"{'b' if fitted.encoder_file == 'imgnet.keras' else 'a'}_{name}"
        folder.mkdir()
        fitted.save(folder / fitted.encoder_file)
        trunk = {"backbone": "compact", "image_size": 48, "train": False, "scaling": None}
        (folder / "config.json").write_text(json.dumps({"method": name, "bits": BITS, "seed": 0, "trunk": trunk}))
    np.save(tmp_path / "features.npy", data.database.features)
    np.save(tmp_path / "texts.npy", data.database.texts.toarray())
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name, (codes, outputs) in expected.items():
        (found,) = tmp_path.glob(f"[ab]_{name}.npz")
        with np.load(found) as arrays:
            assert arrays["codes"].dtype == np.int8
            np.testing.assert_array_equal(arrays["codes"], codes, err_msg=name)
            np.testing.assert_array_equal(arrays["outputs"], outputs, err_msg=name)
            if name in texts:
                for key, wanted in (("texts", 0), ("moved", 0), ("words", 1)):
                    np.testing.assert_array_equal(arrays[key], texts[name][wanted], err_msg=key)
    assert texts
    shallow = [line.split() for line in done.stdout.splitlines()]
    assert len(shallow) == 7 and all(loaded == "False" for _, loaded in shallow)
