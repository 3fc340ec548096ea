"""The programs as a user starts them: everything from run folders, without TensorFlow, and the exit codes."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dseh_tf.retrieval import code_health
from experiments import health
from figures import report, top_ten
from figures.runs import read_runs
from tests.figures.conftest import WORLD
from tests.figures.synthetic import World, write_run

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


class Page(HTMLParser):
    """Collects tags, and whether they close in order."""

    EMPTY = frozenset(("meta", "img", "br"))

    def __init__(self, text):
        super().__init__()
        self.open, self.tags = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def of(self, tag, kind=""):
        return [attrs for name, attrs in self.tags if name == tag and kind in attrs.get("class", "")]


@pytest.fixture(scope="module")
def page(runs_root, tmp_path_factory):
    runs = read_runs(runs_root).where(lambda run: run.bits == 12 or run.dataset != "multi_digits")
    (path,) = report.draw(runs, tmp_path_factory.mktemp("out"))
    return path.read_text(encoding="utf-8")


def test_the_report_is_well_formed_and_loads_nothing(page):
    parsed = Page(page)
    assert parsed.open == []
    for _, attrs in parsed.tags:
        for name in ("src", "href"):
            if name in attrs:
                assert attrs[name].startswith(("data:image/", "#")), attrs[name][:60]
    assert not re.search(r"url\(|@import|<script|<link", page)
    assert all(attrs.get("alt") for attrs in parsed.of("img"))
    ids = {attrs["id"] for _, attrs in parsed.tags if "id" in attrs}
    assert {attrs["href"][1:] for attrs in parsed.of("a")} <= ids


def test_the_report_shows_ten_answers_a_method_and_query(page):
    parsed = Page(page)
    # a dozen queries: three methods on multi_digits (seed 0), two on nus_wide_21
    assert len(parsed.of("article", "query")) == 24
    assert len(parsed.of("div", "answer ")) == 12 * 10 * (3 + 2)
    marks = [attrs["title"].rsplit(", ", 1)[1] for attrs in parsed.of("div", "answer ")]
    assert set(marks) == {"right", "wrong"}
    assert page.count("✓</span><span class=distance>") == marks.count("right")


def test_top_ten_is_the_stable_order_of_distances(runs_root):
    runs = read_runs(runs_root).of(dataset="multi_digits", bits=12)
    query = top_ten.queries(runs)[3]
    with np.load(runs_root / "digits-itq-12-0" / "codes.npz") as stored:
        row = stored["query_ids"].tolist().index(query.item.name)
        bits = {
            p: np.unpackbits(stored[f"{p}_codes"], axis=1, bitorder="little", count=12) for p in ("query", "database")
        }
        distance = (bits["query"][row] != bits["database"]).sum(axis=1)
        ranked = sorted(range(len(distance)), key=lambda j: (distance[j], j))[:10]
        expected = [
            (
                stored["database_ids"][j],
                distance[j],
                bool((stored["query_labels"][row] & stored["database_labels"][j]).any()),
            )
            for j in ranked
        ]
    assert [(a.item.name, a.distance, a.right) for a in query.answers["ITQ"]] == expected
    assert all(a.item.source.startswith("data:image/jpeg;base64,") for a in query.answers["ITQ"])


def test_classes_are_named_where_the_run_names_them(tmp_path):
    world = World(n_train=20, n_query=3, n_database=30)
    write_run(tmp_path / "runs" / "r", world, "dseh", 16)
    path = tmp_path / "runs" / "r" / "result.json"
    stored = json.loads(path.read_text())
    titles = {}
    for names in (None, ["sun", "sea", "sky", "<b>", "dog"], ["sun"]):
        path.write_text(json.dumps({**stored, **({} if names is None else {"class_names": names})}))
        (page,) = report.draw(read_runs(tmp_path / "runs"), tmp_path)
        text = page.read_text(encoding="utf-8")
        titles[str(names)] = [attrs["title"] for attrs in Page(text).of("div", "answer ")]
        assert "<strong>1</strong> finished run · 1 data set · 1 method · code length 16<" in text
        assert "no run" not in text  # nothing is published for this data set, and no variant of DSEH has a run
    numbers, named = titles["None"], titles[str(["sun", "sea", "sky", "<b>", "dog"])]
    assert titles["['sun']"] == numbers
    words = dict(zip("01234", ("sun", "sea", "sky", "<b>", "dog"), strict=True))
    for before, after in zip(numbers, named, strict=True):
        name, _, rest = before.partition(", label")
        labels = rest.removeprefix("s").strip().split(", distance")[0].split(", ")
        assert after.startswith(f"{name}, {', '.join(words[label] for label in labels)}, distance")


def test_pictures_come_from_image_files_where_there_are_no_thumbnails(tmp_path):
    world = World(n_train=20, n_query=3, n_database=30)
    write_run(tmp_path / "runs" / "r", world, "itq", 16, picture=None)
    config = tmp_path / "runs" / "r" / "config.json"
    config.write_text(
        config.read_text().replace('"settings"', f'"images": {{"kind": "files", "root": "{tmp_path}"}}, "settings"')
    )
    (tmp_path / "query").mkdir()
    Image.new("L", (300, 200), 90).save(tmp_path / "query" / "00000", "PNG")
    queries = top_ten.queries(read_runs(tmp_path / "runs"))
    assert queries[0].item.source.startswith("data:image/jpeg") and len(queries) == 3
    assert queries[1].item.source == ""


def test_the_report_keeps_folders_of_the_machine_to_itself(tmp_path):
    write_run(tmp_path / "runs" / "good", WORLD, "itq", 16)
    write_run(tmp_path / "runs" / "bad", WORLD, "lsh", 16)
    (tmp_path / "runs" / "bad" / "counts.npz").unlink()
    config = tmp_path / "runs" / "good" / "config.json"
    told = {
        "data_dir": f"{tmp_path}/data",
        "trunk": {"backbone": f"{tmp_path}/lite0.keras", "image_size": 48, "weights": f"{tmp_path}/w.mat"},
        "data": {"imagenet_classes": f"{tmp_path}/classes.txt", "seed": 0},
    }
    config.write_text(json.dumps({**json.loads(config.read_text()), **told}))
    (path,) = report.draw(read_runs(tmp_path / "runs"), tmp_path)
    text = path.read_text()
    assert str(tmp_path) not in text
    assert all(name in text for name in ("lite0.keras", "w.mat", "classes.txt"))
    assert "counts.npz: found no such file" in text


def test_the_report_marks_collapsed_runs(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.eye(5, dtype=np.uint8)[np.arange(100) % 5]
    measured = {
        "good": {
            "labnet": code_health(rng.choice([-1, 1], (5, 16)), labels[:5]),
            "database": code_health(rng.choice([-1, 1], (100, 16)), labels),
        },
        "bad": {"database": code_health(np.ones((100, 16), np.int8), labels)},
    }
    for name, method in (("good", "dseh"), ("bad", "itq"), ("old", "lsh")):
        write_run(tmp_path / "runs" / name, WORLD, method, 16)
        if name in measured:
            path = tmp_path / "runs" / name / "result.json"
            stored = health.record(measured[name], "try <less>")
            path.write_text(json.dumps({**json.loads(path.read_text()), "code_health": stored}))
    (path,) = report.draw(read_runs(tmp_path / "runs"), tmp_path)
    text = path.read_text(encoding="utf-8")
    assert Page(text).open == []
    section = text.split('<h2 id="health">')[1].split("</section>")[0]
    good, bad = section.split("<tbody>")[1].split("</tbody>")[0].split("</tr>")[:2]
    assert "good" in good and "healthy" in good and "5 / 5" in good and "collapsed" not in good
    assert good.count("<td ") == bad.count("<td ") == section.count("<th>") - 1
    assert "<tr class=collapsed>" in bad and "⚠ collapsed" in bad and "1 / 5" in bad and "16 + 0" in bad
    assert "1 distinct code for 5 label vectors" in section and "try &lt;less&gt;" in section
    assert "Runs that did not measure their codes: 1." in section


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
