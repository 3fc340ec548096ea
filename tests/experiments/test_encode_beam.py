"""experiments.encode with --runner on a real export: the codes of the plain loop. `make test-beam` runs these tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from absl import flags

from dseh_tf.errors import InputError
from experiments import encode, program
from tests.encoding.encoded import write_export, write_images, write_run

pytest.importorskip("apache_beam", reason="needs the extra beam: make test-beam")

ROOT = Path(__file__).parents[2]
NAMES = [f"{i:02d}.png" for i in range(14)]


@pytest.fixture
def export(tmp_path, tf) -> Path:
    """The export of a run of 12 bits on raw images of 6 x 5."""
    write_run(tmp_path / "run")
    write_export(tmp_path / "run", tmp_path / "export")
    return tmp_path / "export"


def call(*arguments: str | Path) -> None:
    values = flags.FlagValues()
    encode.define_flags(values)
    encode.main(program.parsed(["program", "--noprogress", *map(str, arguments)], values), values)


def parquet(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}


def test_runners_give_the_codes_of_the_plain_loop(export, tmp_path, rng, monkeypatch, capsys):
    write_images(tmp_path / "images", NAMES, rng)
    (tmp_path / "images" / "05.png").write_text("a text")
    given = [f"--model={export}", f"--images={tmp_path / 'images'}", "--chunk=3"]
    call(*given, f"--out={tmp_path / 'plain'}")
    assert len(parquet(tmp_path / "plain")) == 5
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name, options in (
        ("one", []),
        ("two", ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]),
    ):
        call(*given, f"--out={tmp_path / name}", "--runner=FnApiRunner", "--", *options)
        assert parquet(tmp_path / name) == parquet(tmp_path / "plain")
        assert f"13 of 14 images have a code in {tmp_path / name}" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"encode.json: chunk: found 3, expected 4; choose another folder"):
        call(*given, f"--out={tmp_path / 'one'}", "--chunk=4", "--runner=FnApiRunner")
