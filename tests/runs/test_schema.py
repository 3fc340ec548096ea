"""The format number and the identity in config.json."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dseh_tf.errors import InputError
from dseh_tf.files import json_text, write_json
from dseh_tf.runs import identity, read_config
from dseh_tf.runs.schema import resolved, stamped
from tests.damage import examples, odd_json

CONFIG = {"method": "itq", "bits": 8, "settings": {"rate": 0.1, "epochs": (3, 2)}, "lists_dir": "a", "python": "3.11"}


def _write(folder: Path, config: dict) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_identity_is_the_digest_of_the_fields_that_are_not_free():
    """Written out by hand: sorted names, no blanks, lists for tuples."""
    text = b'{"bits":8,"method":"itq","settings":{"epochs":[3,2],"rate":0.1}}'
    assert identity(CONFIG) == hashlib.sha256(text).hexdigest()[:16]


def test_identity_before_and_after_the_file(tmp_path):
    config = {
        **CONFIG,
        "settings": {"rate": np.float64(0.1), "epochs": (3, 2), "seen": {3, 1, 2}},
        "data": {"root": Path("x")},
    }
    config["settings"]["count"] = np.int64(7)
    write_json(tmp_path / "config.json", stamped(config))
    assert read_config(tmp_path)["identity"] == identity(config) == identity(read_config(tmp_path))
    assert identity(dict(reversed(list(config.items())))) == identity(config)


@pytest.mark.parametrize(
    "name",
    [
        "format", "identity", "settings_origin", "strategy", "replicas", "lists_dir", "data_dir", "images", "folder",
        "python", "versions", "git_commit", "machine",
    ],
)  # fmt: skip
def test_what_may_differ(name):
    assert identity({**CONFIG, name: "another"}) == identity(CONFIG)


@pytest.mark.parametrize(
    "changed",
    [{"bits": 16}, {"method": "lsh"}, {"settings": {"rate": 0.1, "epochs": (2, 3)}}, {"bits": 8.0}, {"more": None}],
)
def test_what_may_not(changed):
    assert identity({**CONFIG, **changed}) != identity(CONFIG)


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (3, "format: found 3, expected at most 2; the folder was written by a newer version of dseh_tf"),
        ("2", "format: found '2', expected a positive whole number"),
        (0, "format: found 0, expected a positive whole number"),
        (True, "format: found True, expected a positive whole number"),
    ],
)
def test_a_format_that_is_not_known(tmp_path, number, told):
    """Said before anything else of the file, whose fields may mean something else by then."""
    with pytest.raises(InputError) as error:
        read_config(_write(tmp_path, {"format": number, "bits": "eight"}))
    assert str(error.value) == f"{tmp_path / 'config.json'}: {told}"


def test_formats_that_are_known(tmp_path):
    for config in ({"bits": 8}, {"format": 1, "bits": 8}, stamped(CONFIG)):
        assert read_config(_write(tmp_path, config))["bits"] == 8


def test_a_file_that_was_changed_by_hand(tmp_path):
    free = {**stamped(CONFIG), "lists_dir": "b"}
    assert read_config(_write(tmp_path, free))["lists_dir"] == "b"
    with pytest.raises(
        InputError, match=r"config.json: identity: found '\w{16}', expected '\w{16}', the digest of the fields"
    ):
        read_config(_write(tmp_path, {**stamped(CONFIG), "bits": 16}))
    with pytest.raises(InputError, match="identity: found 3, expected a text"):
        read_config(_write(tmp_path, {**stamped(CONFIG), "identity": 3}))
    with pytest.raises(InputError, match="identity: found None, expected a text"):
        read_config(_write(tmp_path, {"format": 2, "bits": 8}))


@examples(200)
@given(st.data())
def test_what_is_read_is_what_was_written(tmp_path_factory, data):
    """After any change to one field: one line, or the fields that decide are all as they were."""
    changed = odd_json(data, json.loads(json_text(stamped(CONFIG))))
    folder = _write(tmp_path_factory.mktemp("x"), changed)
    try:
        config = read_config(folder)
    except InputError as error:
        assert str(error).startswith(f"{folder / 'config.json'}: ") and "\n" not in str(error)
    else:
        same = resolved(config) == resolved(json.loads(json_text(CONFIG)))
        assert same or config.get("format", 1) == 1


def test_a_file_of_values_within_values(tmp_path):
    deep = json.dumps({"identity": "0", "settings": {}}).replace("{}", '{"a":' * 900 + "1" + "}" * 900)
    (tmp_path / "config.json").write_text(deep)
    with pytest.raises(InputError) as error:
        read_config(tmp_path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 300
