"""The programs as a user starts them: everything from run folders, without TensorFlow, and the exit codes."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.figures.conftest import WORLD
from tests.figures.synthetic import write_run

CHECKOUT = Path(__file__).parents[2]
WITHOUT_TENSORFLOW = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras", "tensorflow_datasets", "tensorboard"):
            raise ImportError(f"{name} is hidden")
sys.meta_path.insert(0, Hidden())
import runpy
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def start(module, *arguments):
    """Runs a module of figures in a process where TensorFlow cannot be imported."""
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, module, *arguments]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=300, check=False)


def test_everything_is_drawn_without_tensorflow(tmp_path):
    for method in ("dseh", "itq"):
        write_run(tmp_path / "runs" / method, WORLD, method, 16)
    done = start("figures.all", f"--runs={tmp_path / 'runs'}", f"--out={tmp_path / 'out'}")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    tables = ("map_table", "ablation_table", "top5k_table", "code_correlation")
    pictures = (
        *(f"{name}_multi_digits_16" for name in ("pr_curve", "precision_at_n", "code_correlation")),
        *(f"{name}_multi_digits_dseh_release_16" for name in ("semantic_features", "training_curves")),
    )
    expected = {f"{name}.{ending}" for name in tables for ending in ("md", "tex", "csv")}
    expected |= {f"{name}.{ending}" for name in pictures for ending in ("png", "pdf")} | {"report.html"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == expected
    assert all(path.stat().st_size > 100 for path in (tmp_path / "out").iterdir())
    assert sorted(done.stdout.split()) == sorted(str(tmp_path / "out" / name) for name in expected)
    for path in (tmp_path / "out").glob("*.png"):
        with Image.open(path) as image:
            assert min(image.size) > 300
            assert np.asarray(image.convert("L")).std() > 5  # not blank


def test_a_damaged_folder_is_named_the_rest_drawn_and_the_exit_code_says_so(tmp_path):
    write_run(tmp_path / "runs" / "good", WORLD, "itq", 16)
    write_run(tmp_path / "runs" / "broken", WORLD, "itq", 16, seed=1)
    (tmp_path / "runs" / "broken" / "counts.npz").write_bytes(b"PK")
    (tmp_path / "runs" / "waiting").mkdir()
    (tmp_path / "runs" / "waiting" / "config.json").write_text("{}")
    done = start("figures.map_table", f"--runs={tmp_path / 'runs'}", f"--out={tmp_path / 'out'}")
    assert done.returncode == 3
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert "broken: skipped: counts.npz: found" in lines[0] and "waiting: unfinished: found no result.json" in lines[1]
    assert "(1) |" in (tmp_path / "out" / "map_table.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runs={}/absent"], "--runs: found no folder"),
        (["--runs={}/empty"], "--runs: found no run folder"),
        (["--runs={}/runs", "--methods=dhn"], "--methods: found 'dhn', expected one of itq"),
        (["--runs={}/runs", "--bits=7"], "--bits: found '7', expected one of 16"),
        (["--runs={}/runs", "more"], "found 'more', expected flags only"),
    ],
)
def test_nothing_to_draw_is_one_line_and_exit_code_2(tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    write_run(tmp_path / "runs" / "itq", WORLD, "itq", 16)
    done = start("figures.map_table", *(a.format(tmp_path) for a in arguments), f"--out={tmp_path / 'out'}")
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_place_of_the_folder(tmp_path):
    write_run(tmp_path / "runs" / "itq", WORLD, "itq", 16)
    out = tmp_path / "out"
    out.write_text("")
    for module in ("figures.map_table", "figures.pr_curve"):  # tables and pictures make their folder by themselves
        done = start(module, f"--runs={tmp_path / 'runs'}", f"--out={out}")
        assert (done.returncode, done.stderr) == (2, f"error: {out}: found a file in its place, expected a folder\n")
    done = start("figures.map_table", f"--runs={tmp_path / 'runs'}", f"--out={out / 'below'}")
    assert (done.returncode, done.stderr) == (
        2, f"error: {out / 'below'}: found a file among the folders above it, expected folders\n"
    )  # fmt: skip


def test_an_unfinished_run_folder_is_passed_over(tmp_path):
    write_run(tmp_path / "runs" / "good", WORLD, "itq", 16)
    (tmp_path / "runs" / "waiting").mkdir()
    (tmp_path / "runs" / "waiting" / "config.json").write_text("{}")
    done = start("figures.map_table", f"--runs={tmp_path / 'runs'}", f"--out={tmp_path / 'out'}")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 0 and line.endswith("waiting: unfinished: found no result.json")
    assert "(1) |" in (tmp_path / "out" / "map_table.md").read_text()


def test_nothing_that_can_be_read_is_an_error(tmp_path):
    write_run(tmp_path / "runs" / "broken", WORLD, "itq", 16)
    (tmp_path / "runs" / "broken" / "counts.npz").write_bytes(b"PK")
    done = start("figures.map_table", f"--runs={tmp_path / 'runs'}", f"--out={tmp_path / 'out'}")
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith("error: --runs: found no run folder in ")
    assert "broken: skipped: counts.npz" in done.stderr and not (tmp_path / "out").exists()


@pytest.mark.parametrize("module", ["figures.map_table", "figures.pr_curve"])
def test_a_disk_that_refuses_is_one_line_and_earlier_files_stay(tmp_path, module):
    """The operating system refuses files beyond some bytes here, of text as of pictures."""
    write_run(tmp_path / "runs" / "itq", WORLD, "itq", 16)
    arguments = (f"--runs={tmp_path / 'runs'}", f"--out={tmp_path / 'out'}")
    assert start(module, *arguments).returncode == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
    command = [sys.executable, "-B", "-c", limit + WITHOUT_TENSORFLOW, module, *arguments]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2 and re.fullmatch(rf"error: {tmp_path / 'out'}/\w+\.\w+: File too large\n", done.stderr)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
