"""The command line of every program: paths, `--help`, flags that are wrong."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags

from dseh_tf.errors import InputError
from experiments import program

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted(
    f"{path.parent.name}.{path.stem}"
    for room in ("experiments", "figures")
    for path in (ROOT / room).glob("*.py")
    if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
)
# Of the flags with a text for a value, those that are no path. A new flag of the kind belongs here, or is a path flag.
TEXTS = {
    "allowed_host", "backbone_scaling", "bits", "code", "dataset", "datasets", "host", "import_module", "label", "labels",
    "method", "methods", "optimizer", "phases", "preset", "preset_dataset", "run_flag", "runner", "seeds", "set", "strategy",
    "suite", "text", "train_backbone_from", "unrecorded",
}  # fmt: skip
# In a process of its own, as two programs have flags of one name: every flag that is not absl's, and `--help`.
LIST = """
import importlib, json, sys
from absl import flags
from experiments import program
name = sys.argv[1]
module = sys.modules["__main__"] = importlib.import_module(name)
if name.startswith("figures."):
    from figures import cli as module
getattr(module, "define_flags", lambda: None)()
found = {flag.name: flag for m, fs in flags.FLAGS.flags_by_module_dict().items() if not m.startswith("absl") for flag in fs}
paths = [name for name, flag in found.items() if program.is_path(flag)]
program.parsed(["x", *(f"--{name}=~/given" for name in paths)])
given = {name: found[name].value for name in paths}
for typed in json.load(sys.stdin):
    for flag in found:
        flags.FLAGS[flag].unparse()
    program.parsed(["x", *typed])
kinds = {name: flag.flag_type() for name, flag in found.items()}
print(json.dumps({"kinds": kinds, "paths": given, "help": program.help_text()}))
"""


def typed() -> dict[str, list[list[str]]]:
    """The commands that the documents and docstrings name, by program: their arguments."""
    found: dict[str, list[list[str]]] = {}
    texts = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "Makefile"]
    texts += [path for room in ("experiments", "figures", "benchmarks") for path in (ROOT / room).rglob("*.py")]
    for file in texts:
        text = re.sub(r"\\\\?\n\s*", " ", file.read_text(encoding="utf-8"))
        for module, rest in re.findall(
            r"(?:python|\$\(PY\)) -m ((?:experiments|figures|benchmarks)\.\w+)([^`\n|\"]*)", text
        ):
            arguments = rest.split("#")[0].split()
            found.setdefault(module, []).append([item for item in arguments if item != "..."])
    return found


TYPED = typed()


def start(*arguments: str, given: str = "", **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# The modules of figures/ all have the flags of figures.cli.
@pytest.mark.parametrize("name", [*(p for p in PROGRAMS if p.startswith("experiments.")), "figures.report"])
def test_paths_are_expanded_help_has_all_flags_and_typed_commands_parse(name, tmp_path):
    commands = [each for module, many in TYPED.items() if module.split(".")[0] == name.split(".")[0] for each in many]
    commands = commands if name.startswith("figures") else TYPED.get(name, [])
    done = start("-c", LIST, name, given=json.dumps(commands), HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kinds"] and found["paths"]
    for flag, kind in found["kinds"].items():
        assert f"--{flag}=" in found["help"] or f"--[no]{flag}" in found["help"], flag
        if kind.removeprefix("multi ") in ("string", "comma separated list of strings"):
            assert flag in TEXTS, f"{flag}: a path flag (program.DEFINE_path), or one of TEXTS"
    assert len(found["help"].split("\n")[0]) > 10
    assert "\nOther:\n" not in found["help"], "a flag without a group: see experiments/help_text.py"
    for flag, value in found["paths"].items():
        expected = str(tmp_path / "given")
        assert value in (expected, [expected]), flag


def test_the_typed_commands_name_programs():
    assert sum(map(len, TYPED.values())) > 60 and len(TYPED["experiments.run"]) > 8
    for module in TYPED:
        assert module in PROGRAMS or (ROOT / f"{module.replace('.', '/')}.py").is_file(), module


def test_programs_start_in_the_one_way():
    """`program.run` (figures: `cli.program`, which calls it) or, of benchmarks, its parser; all paths by its types."""
    assert {"experiments.run", "experiments.query", "figures.all", "figures.report"} <= set(PROGRAMS)
    for name in PROGRAMS:
        source = (ROOT / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8")
        assert ("program.run(main" in source) if name.startswith("experiments") else ("cli.program(draw" in source), (
            name
        )
        assert "app.run(" not in source
    for path in (ROOT / "benchmarks").glob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert "argparse" not in source and "type=Path" not in source, path


def test_a_home_folder_is_no_folder_called_tilde(tmp_path):
    (tmp_path / "lists").mkdir()
    for part in ("train", "test"):
        (tmp_path / "lists" / f"{part}.txt").write_text(f"{part}.jpg 1 0 1\n")
    command = (str(ROOT / "experiments" / "derive_lists.py"), "--lists_dir=~/lists", "--classes=2", "--out=~/new/lists")
    run = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}, check=True, capture_output=True,
    )  # fmt: skip
    assert run.stdout.decode().startswith(str(tmp_path / "new/lists")) and not (tmp_path / "~").exists()
    assert (tmp_path / "new" / "lists" / "train.txt").read_text() == "train.jpg 1 0\n"


@pytest.mark.parametrize(
    ("module", "arguments", "line"),
    [
        ("experiments.run", ["--bits=abc"], "--bits: found 'abc', expected an integer"),
        ("experiments.run", ["--typo=3"], "--typo: found no such flag (--help lists all)"),
        ("experiments.evaluate", [], "--workdir: found none, expected a path"),
        ("experiments.suite", ["--job=3"], "--job: found no such flag, expected perhaps --jobs"),
        ("figures.map_table", ["--typo=3"], "--typo: found no such flag"),
        ("benchmarks.evaluation", ["--items=abc"], "argument --items: invalid int value: 'abc'"),
    ],
)
def test_a_wrong_flag_is_one_line_and_exit_code_2(module, arguments, line):
    done = start("-m", module, *arguments)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith(f"error: {line}") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("module", ["experiments.run", "figures.report"])
def test_help_is_no_error(module):
    done = start("-m", module, "--help")
    assert done.returncode == 0 and not done.stderr and "  --" in done.stdout
    assert f"python -m {module}" in done.stdout


def test_a_repeated_path_is_told_as_one_in_help():
    done = start("-m", "experiments.query", "--help")
    (words,) = re.findall(r"^  --images=PATH +(.*?)(?=^ {,3}\S|^$)", done.stdout, flags=re.MULTILINE | re.DOTALL)
    assert "may be repeated" in " ".join(words.lower().split())


@pytest.fixture
def values() -> flags.FlagValues:
    own = flags.FlagValues()
    flags.DEFINE_integer("bits", 32, "", lower_bound=1, flag_values=own)
    flags.DEFINE_float("rate", None, "", flag_values=own)
    flags.DEFINE_bool("progress", True, "", flag_values=own)
    flags.DEFINE_enum("split", "a", ["a", "b"], "", flag_values=own)
    flags.DEFINE_multi_string("set", [], "", flag_values=own)
    program.DEFINE_path("out", None, "", own)
    program.DEFINE_multi_path("images", [], "", own)
    return own


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("--bits=abc", "--bits: found 'abc', expected a positive integer"),
        ("--bits=1: 2", "--bits: found '1', expected a positive integer"),
        ("--bits=0", "--bits: found '0', expected a positive integer"),
        ("--bits=", "--bits: found '', expected a positive integer"),
        ("--bits=1e3", "--bits: found '1e3', expected a positive integer"),
        ("--bits", "--bits: found no value, expected a positive integer"),
        ("--rate=fast", "--rate: found 'fast', expected a number"),
        ("--progress=maybe", "--progress: found 'maybe', expected true or false"),
        ("--noprogress=1", "--noprogress=1 does not take an argument"),
        ("--split=c", "--split: found 'c', expected one of a, b"),
        ("--spilt=a", "--spilt: found no such flag, expected perhaps --split"),
        ("--nix", "--nix: found no such flag"),
        ("--out=", "--out: found '', expected a path"),
        ("--images= ", "--images: found ' ', expected a path"),
        ("--out=~no_such_user/x", "--out: found '~no_such_user/x', expected a path of a user of this machine"),
        ("--flagfile=absent", "--flagfile: found no file 'absent'"),
    ],
)
def test_what_is_said_of_a_wrong_flag(values, argument, line):
    flags.DEFINE_string("flagfile", "", "", flag_values=values)
    flags.DEFINE_string("undefok", "", "", flag_values=values)
    with pytest.raises(InputError) as error:
        program.parsed(["x", argument], values)
    assert str(error.value).startswith(line) and "\n" not in str(error.value)


def test_flags_and_arguments_in_any_order(values, monkeypatch):
    monkeypatch.setenv("HOME", "/home/of")
    found = program.parsed(
        ["x", "a.png", "--bits=8", "b,c.png", "--images=~/d e", "--images", "~", "--", "--f.png"], values
    )
    assert found == ["x", "a.png", "b,c.png", "--f.png"]
    assert values.bits == 8 and values.images == ["/home/of/d e", "/home/of"]
    assert program.expanded("./~x") == "./~x" and program.expanded("a/~/b") == "a/~/b"


def test_a_benchmarks_path(monkeypatch, capsys):
    monkeypatch.setenv("HOME", "/home/of")
    parser = program.ArgumentParser("doc")
    parser.add_argument("--lists", type=program.path)
    assert parser.parse_args(["--lists=~/x"]).lists == Path("/home/of/x")
    for arguments in (["--lists="], ["--nix=1"]):
        with pytest.raises(SystemExit) as stop:
            parser.parse_args(arguments)
        assert stop.value.code == 2 and capsys.readouterr().err.count("\n") == 1
