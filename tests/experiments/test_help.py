"""`--help`: flags in groups, each once, short and whole."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags

from experiments import help_text

ROOT = Path(__file__).parents[2]


def groups(text: str) -> dict[str, str]:
    """The groups of a help text by title."""
    parts = re.split(r"^([A-Z][\w ]+):\n(?=  --)", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


# Of each group of a program, flags that must be there and, by the beginning of what is said, with their own words.
EXPECTED = {
    "run": {
        "What to run": ("dataset=TEXT", "method=TEXT", "bits=INTEGER", "seed=INTEGER", "validation=NUMBER"),
        "Where the data is": ("data_dir=PATH", "lists_dir=PATH", "features=PATH", "[no]skip_bad_images"),
        "How the split is drawn": ("split=TEXT", "queries=INTEGER"),
        "Backbone": ("backbone=PATH", "backbone_scaling=LIST", "image_size=INTEGER", "[no]train_backbone"),
        "Settings of the method": ("preset=TEXT", "rounds=INTEGER", "learning_rate=NUMBER", "set=TEXT"),
        "Input and output": ("workdir=PATH",),
        "How it runs": ("strategy=TEXT", "replicas=INTEGER", "[no]progress"),
    },
    "suite": {
        "What to run": ("suite=TEXT", "datasets=LIST", "methods=LIST", "bits=LIST", "seeds=LIST"),
        "Settings of the method": ("chosen=PATH", "run_flag=TEXT"),
        "Input and output": ("runs=PATH",),
        "How it runs": ("jobs=INTEGER",),
    },
}


@pytest.mark.parametrize(("program", "lines"), [("run", 90), ("suite", 40)])
def test_flags_are_grouped(program, lines):
    command = [sys.executable, "-m", f"experiments.{program}", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found, expected = groups(done.stdout), EXPECTED[program]
    assert list(found) == list(expected)
    for title, names in expected.items():
        entries = re.findall(r"^  --(\S+)", found[title], flags=re.MULTILINE)
        assert [name for name in entries if name in names] == list(names), title
    every = re.findall(r"^  --(\S+)", done.stdout, flags=re.MULTILINE)
    assert len(every) == len(set(every)) > 5
    assert max(map(len, "".join(found.values()).splitlines())) <= 120 and done.stdout.count("\n") <= lines
    assert f"python -m experiments.{program}" in done.stdout.split("What to run:")[0]


@pytest.mark.parametrize("program", ["search", "serve"])
def test_layers_of_ones_own_can_be_named_where_a_run_encodes(program):
    """`own_layers` is loaded by what loads TensorFlow; its flag must be there before."""
    command = [sys.executable, "-m", f"experiments.{program}", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--import_module=LIST" in groups(done.stdout)["Backbone"]


def test_every_flag_is_in_one_group():
    names = [name for group in help_text.GROUPS.values() for name in group]
    assert len(names) == len(set(names))


def test_what_is_said_of_a_flag(monkeypatch):
    own = flags.FlagValues()
    flags.DEFINE_integer("bits", 32, "Length\n    of codes", flag_values=own)
    flags.DEFINE_enum("split", "a", ["a", "b"], "How it is drawn.", flag_values=own)
    flags.DEFINE_bool("progress", True, "Progress bars.", flag_values=own)
    flags.DEFINE_multi_string("set", [], "A setting.", flag_values=own)
    flags.DEFINE_list("methods", ["x", "y"], "Methods. Default: all.", flag_values=own)
    flags.DEFINE_float("long" * 9, None, "word " * 40, flag_values=own)
    monkeypatch.setattr(help_text.flags, "FLAGS", own)
    monkeypatch.setattr(help_text, "own_flags", lambda: set(own))
    found = help_text.help_text("photographs")
    assert "\nArguments: photographs\n" in found
    assert f"\n  {'--bits=INTEGER':30}Length of codes. Default: 32.\n" in found
    assert f"\n  {'--split=TEXT':30}How it is drawn. One of a, b. Default: a.\n" in found
    assert f"\n  {'--[no]progress':30}Progress bars. Default: true.\n" in found
    assert f"\n  {'--set=TEXT':30}A setting. May be repeated.\n" in found
    assert f"\n  {'--methods=LIST':30}Methods. Default: all.\n" in found
    assert f"\nOther:\n  --{'long' * 9}=NUMBER\n{' ' * 32}word word" in found and found.count("word") == 40
