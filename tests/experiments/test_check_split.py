import os
import subprocess
import sys
from pathlib import Path

from tests.data import miniatures

ROOT = Path(__file__).parents[2]


def _run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "experiments.check_split", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )


def test_prints_the_split_of_a_miniature(tmp_path):
    miniatures.write_nus_wide(tmp_path / "nus_wide")
    command = ("--dataset=nus_wide_21", f"--data_dir={tmp_path}", "--queries=2", "--train_rows=3")
    found = _run(*command, "--images")
    assert found.returncode == 0, found.stderr
    sizes = next(line.split()[1:] for line in found.stdout.splitlines() if line.startswith("images "))
    assert sizes[:2] == ["63", "42"]
    assert "relevant query-database pairs" in found.stdout and "split: as the protocol says" in found.stdout
    copies = "queries with a copy in train or database under a different id: 0\n"
    assert found.stdout.replace(copies, "") == _run(*command).stdout  # the images change nothing else
    assert copies in found.stdout
    assert _run(*command, "--split=greedy-image").stdout != found.stdout


def test_fails_in_one_line(tmp_path):
    miniatures.write_nus_wide(tmp_path / "nus_wide")
    (tmp_path / "train.txt").write_text("a.jpg 0 1\n")
    (tmp_path / "test.txt").write_text("a.jpg 0 1\n")
    for arguments, message in (
        (("--dataset=nus_wide_21", f"--data_dir={tmp_path}"), "expected 195,834"),
        (("--dataset=image_lists", f"--lists_dir={tmp_path}"), "test.txt:1: query a.jpg is in train.txt too"),
        (("--dataset=nothing",), "dataset: found 'nothing', expected one of multi_digits"),
    ):
        found = _run(*arguments)
        lines = [line for line in found.stderr.splitlines() if line.startswith("error: ")]
        assert found.returncode == 2 and len(lines) == 1 and message in lines[0]
        assert "Traceback" not in found.stderr
