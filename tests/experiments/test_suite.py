"""The suite runner with a small script in place of experiments.run: what is skipped, resumed, told and ended."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from absl import flags

from dseh_tf.errors import InputError
from dseh_tf.runs import check_same, read_config
from experiments import suite, suites
from experiments.suite_runner import Runner
from experiments.suite_table import State, Table
from experiments.suites import SuiteRun
from tests.experiments.conftest import REGISTERED, stub_configs
from tests.runs import FORMAT_1

ROOT = Path(__file__).parents[2]


@pytest.fixture
def call(stub):
    """call("--bits=8", ...) is `python -m experiments.suite --bits=8 ...`: its exit code; InputError is raised."""

    def _call(*arguments: str) -> int:
        values = flags.FlagValues()
        suite.define_flags(values)
        before = signal.getsignal(signal.SIGTERM)
        try:
            values(["suite", *arguments])
            suite.main(["suite"], values)
        except SystemExit as exit_:
            return exit_.code
        finally:
            signal.signal(signal.SIGTERM, before)
        return 0

    return _call


def events(room: Path, what: str) -> list[str]:
    told = (room / "events").read_text().splitlines()
    return [line.split()[1] for line in told if line.startswith(what)]


def grid(*methods: str, seeds: int = 1, dataset: str = "multi_digits") -> dict[SuiteRun, tuple[str, ...]]:
    runs = [SuiteRun(dataset, m, 16, s) for m in methods for s in range(seeds)]
    return {run: run.arguments for run in runs}


def test_finished_runs_are_skipped_and_failed_ones_tried_again(call, tmp_path, capsys):
    room = tmp_path / "runs"
    room.mkdir()
    for how in ("multi_digits-itq-16-0.fails", "multi_digits-lsh-16-0.breaks", "multi_digits-sh-16-0.dies"):
        (room / how).touch()
    command = ["--suite=quick", "--methods=itq,sdh,lsh,sh", "--bits=16,8", f"--runs={room}"]
    assert call(*command) == suite.FAILED
    out, err = capsys.readouterr()
    assert "failed: multi_digits-itq-16-0: bits: found 3, expected 4 (see" in err
    assert "failed: multi_digits-lsh-16-0: exit code 1: ValueError: nothing to hash" in err
    assert "failed: multi_digits-sh-16-0: killed by SIGKILL" in err
    assert "8 runs: 5 done, 3 failed" in out and "0.1600 1/1" in out and "- 0/1 x" in out
    assert len(events(room, "start")) == 8
    for mark in room.glob("*.*s"):
        mark.unlink()
    assert call(*command) == 0
    out, err = capsys.readouterr()
    assert "finished before" in out and "resumed" in out and "8 runs: 8 done" in out and not err
    again = events(room, "start")[8:]
    assert sorted(again) == [f"multi_digits-{m}-16-0" for m in ("itq", "lsh", "sh")]
    assert call(*command) == 0
    assert len(events(room, "start")) == 11
    assert {p.name for p in (room / "multi_digits-itq-16-0").iterdir()} == {
        "checkpoints",
        "config.json",
        "pid",
        "result.json",
    }


def test_a_finished_run_of_another_command_is_not_taken(call, tmp_path, capsys):
    room = tmp_path / "runs"
    command = ["--suite=quick", "--methods=itq,dseh", "--bits=8", f"--runs={room}"]
    assert call(*command, "--run_flag=--data_dir=here") == 0
    assert call(*command, "--run_flag=--data_dir=there") == 0
    capsys.readouterr()
    assert call(*command, "--run_flag=itq:--set=iterations=3") == suite.FAILED
    err = capsys.readouterr().err
    line = "itq-8-0/config.json: settings: found iterations=None, expected iterations='3'; choose another --runs (see"
    assert line in err
    assert "dseh" not in err
    assert len(events(room, "start")) == 2
    (room / "multi_digits-dseh-8-0.log").unlink()  # says what was printed, and decides nothing
    assert call(*command) == 0
    (room / "multi_digits-dseh-8-0" / "config.json").unlink()
    assert call(*command) == suite.FAILED
    assert "dseh-8-0/config.json: found no such file" in capsys.readouterr().err
    photos = ["--suite=quick", "--methods=itq", "--bits=8", "--datasets=image_folder", f"--runs={tmp_path / 'photos'}"]
    assert call(*photos, "--run_flag=--images_root=/a") == 0
    assert call(*photos, "--run_flag=--images_root=/b") == suite.FAILED
    assert "config.json: folder_files: found '/a', expected '/b'; choose another --runs" in capsys.readouterr().err


def test_a_finished_run_by_other_code_is_taken_and_noted(call, tmp_path, capsys):
    command = ["--suite=quick", "--methods=itq", "--bits=16", f"--runs={tmp_path / 'runs'}"]
    assert call(*command) == 0
    assert call(*command) == 0
    assert "another commit" not in capsys.readouterr().out
    assert call(*command, "--run_flag=--commit=2") == 0
    assert "finished before, at another commit" in capsys.readouterr().out
    assert len(events(tmp_path / "runs", "start")) == 1


def test_a_finished_run_whose_flags_are_refused_now(call, tmp_path, monkeypatch, capsys):
    command = ["--suite=quick", "--methods=itq,lsh", "--bits=16", f"--runs={tmp_path / 'runs'}"]
    assert call(*command) == 0
    monkeypatch.setattr(suite, "resolved", lambda runs: ["lists_dir: found no such folder", *stub_configs(runs[1:])])
    assert call(*command) == suite.FAILED
    told = capsys.readouterr()
    assert (
        "failed: multi_digits-itq-16-0: lists_dir: found no such folder (see" in told.err
        and "1 done, 1 failed" in told.out
    )


def test_the_configuration_of_flags_is_that_of_the_run(tmp_path):
    """Asked of a process of its own, as by a suite: what experiments.run would write, or the line that it would end with."""
    flags_ = ["--dataset=multi_digits", "--method=itq", "--bits=8", "--seed=0"]
    same, other, refused = suite.resolved([flags_, [*flags_, "--set=iterations=3"], [*flags_, "--set=nope=3"]])
    before = read_config(FORMAT_1 / "itq")
    check_same(FORMAT_1, before, same)
    with pytest.raises(InputError, match="settings: found iterations=50, expected iterations=3"):
        check_same(FORMAT_1, before, other)
    assert refused.startswith("set: found 'nope=3', expected name=value")


def test_settings_chosen_on_other_data_are_told(call, tmp_path, capsys):
    file = tmp_path / "chosen.json"
    file.write_text(json.dumps({"dataset": "image_lists", "methods": {"itq": {"settings": ["iterations=9"]}}}))
    command = ["--suite=quick", "--methods=itq", "--bits=8", f"--chosen={file}", f"--runs={tmp_path / 'runs'}"]
    assert call(*command) == 0
    assert (
        "chosen.json: its settings were chosen on image_lists; they are also used for multi_digits"
        in capsys.readouterr().out
    )
    file.write_text(file.read_text().replace("image_lists", "multi_digits"))
    assert call(*command) == 0
    assert "chosen on" not in capsys.readouterr().out


def test_a_class_from_elsewhere(call, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(suite, "outside_methods", lambda names: {"dseh_plus.x:Own": ()})
    file = tmp_path / "chosen.json"
    file.write_text(json.dumps({"dataset": "multi_digits", "methods": {"dseh": {"settings": ["rounds=9"]}}}))
    room, own = tmp_path / "runs", "dseh_plus.x:Own"
    command = ["--suite=quick", f"--methods={own},itq", "--bits=8", f"--runs={room}", f"--chosen={file}"]
    assert call(*command, f"--run_flag={own}:--set=a=1", "--run_flag=--data_dir=~/here") == 0
    log = (room / "multi_digits-dseh_plus.x_Own-8-0.log").read_text()
    assert f"--method={own}" in log and "--set=a=1" in log and "rounds" not in log
    assert f"--data_dir={Path.home()}/here" in log
    assert f"run folders in {room}; their tables and figures: python -m figures.all" in capsys.readouterr().out


def test_what_is_in_the_way_is_told_before_anything_runs(call, monkeypatch, tmp_path, capsys):
    """All of it, a line each; runs that are finished are not looked at."""
    room, asked = tmp_path / "runs", []
    command = ["--suite=quick", "--methods=itq,lsh", "--bits=8", f"--runs={room}"]
    monkeypatch.setattr(suite, "check_runs", lambda runs: asked.append(runs) or ["one", "two"])
    with pytest.raises(InputError, match="two"):
        call(*command)
    assert capsys.readouterr().err == "error: one\n" and not room.exists()
    monkeypatch.setattr(suite, "check_runs", lambda runs: asked.append(runs) or [])
    assert call(*command, "--seeds=0") == 0
    assert call(*command, "--seeds=0,1") == 0
    assert [len(runs) for runs in asked] == [2, 2, 2]
    assert all("--seed=1" in arguments for arguments in asked[2])


def test_flags_that_only_some_data_sets_read(call, label_lists, tmp_path):
    room = tmp_path / "runs"
    command = ["--suite=quick", "--methods=itq", "--bits=8", f"--runs={room}", f"--run_flag=--lists_dir={label_lists}"]
    with pytest.raises(InputError, match="which none of multi_digits reads, expected image_lists"):
        call(*command)
    assert call(*command, "--datasets=multi_digits,image_lists") == 0
    assert "--lists_dir" not in (room / "multi_digits-itq-8-0.log").read_text()
    assert "--lists_dir" in (room / "image_lists-itq-8-0.log").read_text()


def test_first_run_of_a_data_set_goes_alone(stub, tmp_path):
    arguments = grid("dseh", "itq", "lsh", "sh") | grid("dseh", "itq", dataset="image_lists")
    slow = {run: (*flags_, "--sleep=0.2") for run, flags_ in arguments.items()}
    assert not Runner(slow, tmp_path / "runs", 3, Table(list(slow), io.StringIO()), stub_configs).run()
    told = (tmp_path / "runs" / "events").read_text().split()
    order = list(zip(told[::2], told[1::2], strict=True))
    assert {name for what, name in order[:2]} == {"multi_digits-dseh-16-0", "image_lists-dseh-16-0"}
    for dataset in ("multi_digits", "image_lists"):
        here = [pair for pair in order if pair[1].startswith(dataset)]
        assert here[:2] == [("start", f"{dataset}-dseh-16-0"), ("end", f"{dataset}-dseh-16-0")]
    running = most = 0
    for what, _ in order:
        running += 1 if what == "start" else -1
        most = max(most, running)
    assert most in (2, 3) and running == 0


def test_next_run_prepares_where_the_first_failed(stub, tmp_path):
    room = tmp_path / "runs"
    room.mkdir()
    (room / "multi_digits-dseh-16-0.fails").touch()
    arguments = grid("dseh", "itq", "ksh")
    failures = Runner(arguments, room, 3, Table(list(arguments), io.StringIO()), stub_configs).run()
    assert [run.method for run in failures] == ["dseh"]
    assert (room / "events").read_text().split()[1::2][1:3] == ["multi_digits-itq-16-0"] * 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_killed_in_the_middle_and_started_again(tmp_path, stub, number):
    """However it was stopped, no child goes on, and the second suite begins where the first was."""
    first, second, room = _two_suites(tmp_path, stub)
    held = _held(room)
    first.send_signal(number)
    first.communicate(timeout=30)
    assert first.returncode == (suite.STOPPED if number != signal.SIGKILL else -signal.SIGKILL)
    _until(
        lambda: not any(_alive(int((folder / "pid").read_text())) for folder in held),
        10 if number == signal.SIGKILL else 0.1,
    )
    assert len(list(room.glob("*/result.json"))) == 2
    (room / "wait").unlink()
    _check_second(second(), room, {folder.name: 2 for folder in held})


def test_a_second_suite_waits_for_the_runs_of_the_first(tmp_path, stub):
    first, second, room = _two_suites(tmp_path, stub)
    beside = second()
    _until(lambda: "another process is at this run" in beside.stdout.readline())
    (room / "wait").unlink()
    first.communicate(timeout=30)
    assert first.returncode == 0
    _check_second(beside, room, {})


def _held(room: Path) -> list[Path]:
    return [room / f"multi_digits-sh-{bits}-0" for bits in (8, 16)]


def _two_suites(tmp_path, stub):
    """A suite that is held in two of its runs, how to start it again, and its folder."""
    room = tmp_path / "runs"
    room.mkdir()
    (room / "wait").touch()
    program = tmp_path / "suite_of_stubs.py"
    program.write_text(
        "import sys\nfrom experiments import program, suite, suite_runner\n"
        f"suite_runner.PROGRAM = {stub!r}\nsuite.registered_methods = lambda: {REGISTERED!r}\n"
        "suite.check_runs = lambda runs: []\nfrom tests.experiments.conftest import stub_configs\nsuite.resolved = stub_configs\n"
        "if __name__ == '__main__':\n    suite.define_flags()\n    program.run(suite.main)\n"
    )
    command = [
        sys.executable, str(program), "--suite=quick", "--methods=itq,lsh,sh", "--bits=8,16", "--jobs=2", f"--runs={room}",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    # Where the tests themselves run in the background, SIGINT is ignored, and a child would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    first = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    _until(lambda: all((folder / "pid").exists() and (folder / "pid").read_text() for folder in _held(room)))

    def second() -> subprocess.Popen:
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return first, second, room


def _check_second(second: subprocess.Popen, room: Path, starts: dict[str, int]) -> None:
    out, err = second.communicate(timeout=30)
    assert second.returncode == 0, err
    assert "6 runs: 6 done" in out
    names = {f"multi_digits-{m}-{b}-0" for m in ("itq", "lsh", "sh") for b in (8, 16)}
    assert {p.parent.name for p in room.glob("*/result.json")} == names
    for name in names:
        assert json.loads((room / name / "result.json").read_text())["map"] in (0.08, 0.16)
        assert events(room, "start").count(name) == starts.get(name, 1)
        assert events(room, "end").count(name) == 1


def _until(true, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():  # looked at once at least
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path(f"/proc/{pid}/stat").exists() or Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--suite=table9"],
            "--suite: found 'table9', expected one of coco_labels, corel5k, djsrh, dsah, dsah_tiny100, multi_digits, quick, ssah",
        ),
        (["--methods=itq,nope"], "--methods: found 'nope', expected one of lsh, sh, itq, itq_cca"),
        (["--datasets=nope"], "--datasets: found 'nope', expected one of multi_digits, image_lists"),
        (["--bits=16,x"], "--bits: found 'x', expected whole numbers from 1 up"),
        (["--bits=0"], "--bits: found '0'"),
        (["--bits=16,"], "--bits: found ''"),
        (["--seeds=-1"], "--seeds: found '-1', expected whole numbers from 0 up"),
        (["--seeds=1.5"], "--seeds: found '1.5'"),
        (["--jobs=0"], "--jobs: found 0"),
        (["--run_flag=backbone"], "--run_flag: found 'backbone', expected --NAME=VALUE or METHOD:--NAME=VALUE"),
        (["--run_flag=nope:--rounds=1"], "--run_flag: found method 'nope', expected one of lsh"),
        (["--run_flag=--bits=8"], "which the suite sets itself"),
        (
            ["--run_flag=--data_dir=~no_such_user/x"],
            "--run_flag: data_dir: found '~no_such_user/x', expected a path of a user",
        ),
    ],
)
def test_bad_input_is_told_before_anything_runs(call, tmp_path, arguments, line):
    room = tmp_path / "runs"
    with pytest.raises(InputError) as error:
        call(f"--runs={room}", *arguments)
    assert line in str(error.value)
    assert not room.exists()


def test_unknown_suite_is_one_line_and_exit_code_2(tmp_path):
    command = [sys.executable, "-m", "experiments.suite", "--suite=nope", f"--runs={tmp_path / 'runs'}"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    known = sorted(path.stem for path in (ROOT / "experiments" / "suites").glob("*.py") if path.stem != "__init__")
    assert ended.stderr == f"error: --suite: found 'nope', expected one of {', '.join(known)}\n"


def test_suite_loads_no_tensorflow():
    load = "import sys, experiments.suite as s; [s.suites.load(n) for n in s.suites.names()]"
    check = f"{load}; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=True)


def labels(rows) -> tuple[str, ...]:
    return tuple(row.label for row in rows)


def test_table_order(call, tmp_path, capsys):
    quick, table1 = suites.load("quick"), suites.load("table1")
    registered = ["fasth", "dseh_s", *labels(table1.rows)]
    assert labels(table1.chosen_rows(registered)) == (*labels(table1.rows), "fasth")
    assert labels(table1.chosen_rows(registered, ["fasth", "lsh", "dseh", "dseh_s"])) == (
        "dseh",
        "lsh",
        "fasth",
        "dseh_s",
    )
    assert labels(quick.chosen_rows(registered)) == ("dseh", "sdh", "itq_cca", "itq", "sh", "lsh")
    assert len(table1.runs(table1.chosen_rows(registered, ["dseh", "itq"]))) == 3 * 2 * 4 * 3
    assert call("--suite=table2", "--datasets=multi_digits", "--seeds=0", f"--runs={tmp_path / 'runs'}") == 0
    names = {p.name for p in (tmp_path / "runs").iterdir() if p.is_dir()}
    methods = ("dseh", "dseh_s", "dseh_ss", "dseh_l", "dseh_a")
    assert names == {"tensorboard", *(f"multi_digits-{method}-32-0" for method in methods)}


def test_table_is_redrawn_on_a_terminal_and_told_by_lines_elsewhere(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "30")
    runs = [SuiteRun("multi_digits", "itq", 16, seed) for seed in range(3)]

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream in (Terminal(), io.StringIO()):
        table = Table(runs, stream)
        table.change(runs[0], State.RUNNING)
        table.change(runs[0], State.DONE, "3 s", 0.25)
        table.change(runs[1], State.DONE, "3 s", 0.75)
        table.change(runs[2], State.FAILED, "no memory")
        table.close()
        text = stream.getvalue()
        assert "multi_digits  itq     0.5000 2/3 x" in text and "3 runs: 2 done, 1 failed" in text
        if stream.isatty():
            assert text.count("\x1b[3A\x1b[J") == 3 and text.count("data set") == 4
        else:
            assert "\x1b" not in text and text.count("data set") == 1
            assert text.startswith(
                "[0/3] running  multi_digits-itq-16-0\n[1/3] done     multi_digits-itq-16-0 MAP 0.2500 3 s\n"
            )
