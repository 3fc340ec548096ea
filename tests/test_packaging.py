"""What a stranger's clone must hold: light imports, pinned requirements, small files, no path of anyone's machine."""

import json
import re
import shlex
import shutil
import site
import subprocess
import sys
import tokenize
import zipfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.retrieval import naive

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
PINNED = ("test", "search", "onnx", "litert", "docs")
MAX_BYTES = 1_000_000

MAX_LINES = 300
# Still above it; no file is added here.

# Spelt in two halves, so that this file does not hold what it looks for.
HALVES = [("wo", "rk/"), ("ro", "ot/"), ("tm", "p/"), ("far", "m/"), ("Use", "rs/")]
MACHINE_PATHS = tuple("/" + start + end for start, end in HALVES)

README_PROGRAMS = {"make", "python", "python3", "git", "cd", "pip", "tensorboard", "export", "source"}
README_PROGRAMS |= {"curl", "ls", "mkdir", "tar", "unzip"}


def tracked_files() -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def setup_arguments() -> dict:
    """The keyword arguments setup.py hands to setuptools, nothing built."""
    with mock.patch.object(setuptools, "setup") as setup, tokenize.open(ROOT / "setup.py") as file:
        exec(compile(file.read(), "setup.py", "exec"), {"__file__": str(ROOT / "setup.py"), "__name__": "__main__"})
    return setup.call_args.kwargs


def pins() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("module", ["dseh_tf", "dseh_tf.data", "dseh_tf.retrieval", "dseh_tf.export", "figures.all"])
def test_import_loads_no_tensorflow(module):
    code = f"import sys, {module}; print([name for name in ('tensorflow', 'keras') if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("python", PYTHONS)
def test_every_requirement_has_one_pin_that_satisfies_it(python):
    arguments = setup_arguments()
    required = [
        *arguments["install_requires"],
        *(item for extra in PINNED for item in arguments["extras_require"][extra]),
    ]
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    pinned: dict[str, list[str]] = {}
    for pin in pins():
        if pin.marker is None or pin.marker.evaluate(environment):
            (specifier,) = pin.specifier
            assert specifier.operator == "==", f"{pin} is not an exact version"
            pinned.setdefault(canonicalize_name(pin.name), []).append(specifier.version)
    assert {name: versions for name, versions in pinned.items() if len(versions) > 1} == {}
    for requirement in map(Requirement, required):
        versions = pinned.get(canonicalize_name(requirement.name), [])
        assert versions, f"{requirement} has no pin for Python {python}"
        assert Version(versions[0]) in requirement.specifier, (
            f"{requirement} is pinned at {versions[0]} for Python {python}"
        )


@pytest.mark.parametrize("python", ["3.9", "3.10", "3.13", "3.14"])
def test_python_range(python):
    assert (python in SpecifierSet(setup_arguments()["python_requires"])) == (python in PYTHONS)


def test_tracked_files_are_small():
    large = {
        str(path.relative_to(ROOT)): path.stat().st_size for path in tracked_files() if path.stat().st_size >= MAX_BYTES
    }
    assert large == {}


def test_files_of_the_library_are_short():
    library = ROOT / "dseh_tf"
    lines = {str(path.relative_to(library)): len(path.read_bytes().splitlines()) for path in library.rglob("*.py")}
    long = {name for name, count in lines.items() if count > MAX_LINES}
    assert long == set(), f"split these: at most {MAX_LINES} lines a file"


def test_no_path_of_a_machine_in_tracked_text():
    found = []
    for path in tracked_files():
        content = path.read_bytes()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode("utf-8", errors="replace").splitlines(), start=1):
            # A path starts at its slash: "framework/" is not one.
            if any(re.search(rf"(?<![\w.}}\-]){re.escape(start)}", line) for start in MACHINE_PATHS):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []


def test_license_is_apache_2():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text and "Version 2.0, January 2004" in text
    assert "Copyright The dseh_tf authors" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_readme_commands_begin_with_known_programs():
    readme = ROOT / "README.md"
    blocks = re.findall(r"^```sh\n(.*?)^```", readme.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    unknown = []
    for block in blocks:
        for command in block.replace("\\\n", " ").splitlines():
            words = shlex.split(command, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words = words[1:]
            if words and Path(words[0]).name not in README_PROGRAMS:
                unknown.append(command)
    assert unknown == []


def test_readme_make_targets_exist():
    readme = ROOT / "README.md"
    targets = set(re.findall(r"^([a-z-]+):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = set(re.findall(r"`?\bmake ([a-z-]+)`", readme.read_text(encoding="utf-8")))
    assert named <= targets


# The library as `pip install` gives it.

IN_A_FRESH_PROCESS = """
import importlib.util, json, sys
import dseh_tf
from dseh_tf.retrieval import evaluate
report = evaluate(*(json.loads(part) for part in sys.argv[1:]))
print(json.dumps({
    "map": report.map, "map_stable_order": report.map_stable_order, "from": dseh_tf.__file__,
    "heavy": [name for name in ("tensorflow", "keras") if name in sys.modules],
    "others": [name for name in ("experiments", "figures") if importlib.util.find_spec(name)],
}))
"""


def run_quietly(*command: object, cwd: Path) -> str:
    command = [str(part) for part in command]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel built from a copy of the checkout: setuptools takes files of an earlier build from build/ as well."""
    folder = tmp_path_factory.mktemp("wheel")
    left_out = shutil.ignore_patterns(".*", "build", "dist", "runs", "data", "*.egg-info", "__pycache__")
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=lambda at, names: left_out(at, names) if Path(at) == ROOT else ["__pycache__"])
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check")
    run_quietly(sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", folder, source, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The interpreter of a fresh environment with the wheel; what it requires is seen through a path file."""
    folder = tmp_path_factory.mktemp("environment")
    run_quietly(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    options = ("--no-deps", "--no-index", "--quiet", "--disable-pip-version-check")
    run_quietly(sys.executable, "-m", "pip", "--python", python, "install", *options, wheel, cwd=folder)
    (packages,) = {path.parent for path in folder.rglob("dseh_tf") if path.parent.name == "site-packages"}
    # A path file within these folders is not read, so an editable installation of the checkout is not seen.
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    return python


@pytest.mark.slow
def test_the_wheel_holds_the_library_alone(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {Path(name) for name in archive.namelist()}
    (information,) = {name.parts[0] for name in names} - {"dseh_tf"}
    assert re.fullmatch(r"dseh_tf-[0-9.]+\.dist-info", information)
    library = ROOT / "dseh_tf"
    modules = {path.relative_to(ROOT) for path in library.rglob("*.py")}
    texts = {path.relative_to(ROOT) for path in (library / "data" / "builders").glob("*/*.*") if path.suffix != ".py"}
    assert {path.name for path in texts} == {"CITATIONS.bib", "README.md", "TAGS.txt"}
    held = {name for name in names if name.parts[0] == "dseh_tf"}
    assert modules | texts | {Path("dseh_tf", "py.typed")} <= held
    assert {name.suffix for name in held} == {".py", ".md", ".bib", ".txt", ".typed"}


@pytest.mark.slow
def test_an_installed_library_evaluates_without_tensorflow(installed, rng):
    query, database, query_labels, database_labels = naive.random_case(rng, 3, 7, 3, 4, density=0.4)
    parts = [json.dumps(part.tolist()) for part in (query, database, query_labels, database_labels)]
    found = json.loads(run_quietly(installed, "-I", "-c", IN_A_FRESH_PROCESS, *parts, cwd=installed.parent))
    assert Path(found["from"]).is_relative_to(installed.parents[1])
    assert (found["heavy"], found["others"]) == ([], [])
    far, alike = naive.distances(query, database), naive.relevance(query_labels, database_labels)
    tied = [
        np.mean([naive.average_precision(a[order]) for order in naive.orders(d)])
        for d, a in zip(far, alike, strict=True)
    ]
    stable = [naive.average_precision(a[np.argsort(d, kind="stable")]) for d, a in zip(far, alike, strict=True)]
    assert found["map"] == pytest.approx(np.mean(tied), abs=1e-12)
    assert found["map_stable_order"] == pytest.approx(np.mean(stable), abs=1e-12)
    assert np.mean(tied) != np.mean(stable) and 0 < np.mean(tied) < 1
