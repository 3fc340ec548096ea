"""A run on a disk that refuses, and beside another process: one line, exit code 2, and nothing written before is lost."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REFUSED = {
    "no room for config.json": r"full/config\.json: File too large",
    "no room for a checkpoint": r"full/checkpoints/0000\d+: File too large",
    "no room for results": r"full/thumbnails\.npz: File too large",
    "a folder that is read-only": r"full/codes\.npz: Permission denied",
    "checkpoints that are read-only": r"full/checkpoints/0000\d+: Permission denied",
}
BEFORE = ["no room for a checkpoint", "killed while writing results", "no room for results", "a folder that is read-only",
          "checkpoints that are read-only"]  # fmt: skip


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict[str, dict]:
    command = [sys.executable, "-m", "tests.faults.refusing_disk", str(tmp_path_factory.mktemp("disk"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("session", REFUSED)
def test_a_refusal_is_one_line(told, session):
    ended = told[session]
    assert ended["status"] == 2 and not ended["traceback"], ended["output"]
    (line,) = ended["errors"]
    assert re.fullmatch(rf"error: \S*{REFUSED[session]}", line)


def test_nothing_written_before_is_lost(told):
    """Each session leaves the files of the one before it, and no file that is half written."""
    for before, after in pairwise(BEFORE):
        kept = {file for file in told[before]["files"] if not file.startswith((".partial", "tensorboard"))}
        assert kept <= set(told[after]["files"])
    assert told["no room for config.json"]["files"] == []
    for session in REFUSED:
        assert not [file for file in told[session]["files"] if ".partial" in file], session


def test_the_same_command_ends_with_the_same_codes(told):
    """Also from a checkpoint with a flipped bit, which is passed over."""
    assert told["killed while writing results"]["status"] == -9 and told["whole"]["status"] == 0
    ended = told["room again"]
    assert ended["status"] == 0 and ended["differences"] == [], ended["output"]
    line = rf"checkpoint \S*{told['damaged']['name']} is truncated or damaged \(state\S+: found other contents"
    assert re.search(line, told["checkpoints that are read-only"]["output"])


def test_a_second_process_is_refused(told):
    second = told["second"]
    assert second["status"] == 2 and second["first is alive"]
    lines = [line for line in second["output"].splitlines() if line.startswith(("error:", "Traceback"))]
    assert len(lines) == 1
    assert re.fullmatch(
        r"error: \S*two: another process is working on a run here; choose a different --workdir", lines[0]
    )
