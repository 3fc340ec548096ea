"""The HTML report: well formed, self-contained, escaped, and with a section only where there are runs."""

import itertools
import json
import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest

from dseh_tf.retrieval import code_health
from experiments import health
from figures import report
from figures.runs import read_runs
from tests.figures.conftest import WORLD
from tests.figures.synthetic import World, write_run


class Page(HTMLParser):
    """Collects tags with their attributes, the text, and whether the tags close in order."""

    EMPTY = frozenset(("meta", "img", "br"))

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return "".join(self.words)

    def of(self, tag, kind=""):
        return [attrs for name, attrs in self.tags if name == tag and kind in attrs.get("class", "")]

    @property
    def ids(self):
        return [attrs["id"] for _, attrs in self.tags if "id" in attrs]


def drawn(runs, out):
    (path,) = report.draw(runs, out)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(runs_root, tmp_path_factory):
    runs = read_runs(runs_root).where(lambda run: run.bits == 12 or run.dataset != "multi_digits")
    return drawn(runs, tmp_path_factory.mktemp("out"))


def test_the_report_is_well_formed_and_loads_nothing(page):
    parsed = Page(page)
    for _, attrs in parsed.tags:
        for name in ("src", "href"):
            if name in attrs:
                assert attrs[name].startswith(("data:image/", "#")), attrs[name][:60]
    assert not re.search(r"url\(|@import|<script|<link", page)
    assert all(attrs.get("alt") for attrs in parsed.of("img"))
    assert max(Counter(parsed.ids).values()) == 1
    assert {attrs["href"][1:] for attrs in parsed.of("a")} <= set(parsed.ids)


def test_the_report_shows_ten_answers_a_method_and_query(page):
    parsed = Page(page)
    # a dozen queries: three methods on multi_digits (seed 0), two on nus_wide_21
    assert len(parsed.of("article", "query")) == 24
    assert len(parsed.of("div", "answer ")) == 12 * 10 * (3 + 2)
    marks = [attrs["title"].rsplit(", ", 1)[1] for attrs in parsed.of("div", "answer ")]
    assert set(marks) == {"right", "wrong"}
    assert page.count('✓</span><span class="distance">') == marks.count("right")


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
    text = drawn(read_runs(tmp_path / "runs"), tmp_path)
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
    text = drawn(read_runs(tmp_path / "runs"), tmp_path)
    Page(text)
    section = text.split('<h2 id="health">')[1].split("</section>")[0]
    good, bad = section.split("<tbody>")[1].split("</tbody>")[0].split("</tr>")[:2]
    assert "good" in good and "healthy" in good and "5 / 5" in good and "collapsed" not in good
    assert good.count("<td>") == bad.count("<td>") == section.count('<th scope="col">') - 1 > 0
    assert '<tr class="collapsed">' in bad and "⚠ collapsed" in bad and "1 / 5" in bad and "16 + 0" in bad
    assert "1 distinct code for 5 label vectors" in section and "try &lt;less&gt;" in section
    assert "Runs that did not measure their codes: 1." in section
    alarm = text.split("<main>")[0].split('class="alarm"')[1].split("</p>")[0]
    assert "a warning for 1 of 3 runs" in alarm and "<code>bad</code>" in alarm and 'href="#health"' in alarm


def test_headings_and_tables_are_in_order_for_a_reader_who_does_not_see_them(page):
    parsed = Page(page)
    assert parsed.of("html")[0]["lang"] == "en"
    levels = [int(tag[1]) for tag, _ in parsed.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert {attrs.get("scope") for attrs in parsed.of("th")} == {"col", "row", "rowgroup"}
    boxes = [attrs["aria-label"] for attrs in parsed.of("div", "scroll")]
    assert len(boxes) == len(parsed.of("table")) and all(boxes)
    alternatives = [attrs["alt"] for attrs in parsed.of("img") if attrs["src"].startswith("data:image/png")]
    assert "Precision and recall on multi_digits, 12 bits: DSEH, ITQ-CCA, ITQ" in alternatives
    assert "Code correlation on multi_digits, 12 bits: ITQ" in alternatives
    assert "Training on NUS-WIDE, 32 bits: DSEH-SS" in alternatives
    assert len(set(alternatives)) == len(alternatives)


def test_every_figure_has_a_caption_and_every_ranking_its_tie_rule(page):
    figures = page.split("<figure")[1:]
    captions = [figure.split("<figcaption>")[1].split("</figcaption>")[0] for figure in figures]
    assert len(figures) > 5 and all(60 < len(caption) < 300 for caption in captions)
    for heading in (
        "<h4>MAP</h4>",
        "<h4>Variants of DSEH, 12 bits</h4>",
        '<h2 id="configuration">',
        '<h2 id="overview">',
    ):
        assert "all orders of items at the same Hamming distance" in page.split(heading)[1].split("</section>")[0], (
            heading
        )
    (curve, *_) = [figure for figure in figures if "<h4>Precision at N</h4>" in figure]
    assert "all orders of items at the same Hamming distance" in curve
    assert "Ties are in database order" in page


def test_a_section_without_runs_is_absent(tmp_path):
    write_run(tmp_path / "labels", WORLD, "dseh", 16, dataset="ms_coco", labels_only=True)
    labels = Page(drawn(read_runs(tmp_path), tmp_path))
    assert labels.ids == ["overview", "data-1", "data-1-tables", "data-1-figures", "configuration"]
    shown = {attrs["alt"].split(" on ")[0] for attrs in labels.of("img")}
    assert shown == {"Semantic features", "Training"}
    write_run(tmp_path / "itq", WORLD, "itq", 16)
    both = Page(drawn(read_runs(tmp_path).of(method="itq"), tmp_path))
    assert "data-1-queries" in both.ids and "health" not in both.ids
    assert not {"Semantic features", "Training"} & {attrs["alt"].split(" on ")[0] for attrs in both.of("img")}
    none = Page(drawn(read_runs(tmp_path).of(method="lsh"), tmp_path))
    assert none.ids == ["overview"] and "0 finished runs" in none.text and not none.of("table")


NASTY = "<script>x</script>'\"><img onerror=y>&{{7*7}}$\\frac$"


def test_everything_from_files_is_text(tmp_path):
    """Names of a folder, method, preset, data set, class, image and setting that are markup, or not even UTF-8."""
    folder = tmp_path / "runs" / NASTY.replace("/", "|")
    write_run(folder, World(n_train=20, n_query=3, n_database=30), "dseh", 16, picture=None)
    nasty = {"method": f"m{NASTY}", "preset": f"p{NASTY}", "dataset": "image_lists"}
    for name, more in {
        "config.json": {"lists_dir": f"/x/d{NASTY.replace('/', '|')}", "settings": {f"k{NASTY}": f"v{NASTY}"}},
        "result.json": {
            "class_names": [f"c{i}{NASTY}\ud800" for i in range(5)],
            "code_health": {"warning": f"w{NASTY}"},
        },
    }.items():
        stored = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**stored, **nasty, **more}))
    with np.load(folder / "codes.npz") as stored:
        ids = {part: np.array([f"{part}{i}{NASTY}" for i in range(n)]) for part, n in (("query", 3), ("database", 30))}
        np.savez(folder / "codes.npz", **{**stored, **{f"{part}_ids": names for part, names in ids.items()}})
    (tmp_path / "runs" / f"unfinished{NASTY.replace('/', '|')}").mkdir()
    (tmp_path / "runs" / f"unfinished{NASTY.replace('/', '|')}" / "config.json").write_text("{}")
    parsed = Page(drawn(read_runs(tmp_path / "runs"), tmp_path))
    tags = "html head meta title style body header main section article nav h1 h2 h3 h4 p ul li a strong code span br small pre"
    tags += " div table thead tbody tr th td figure figcaption img details summary"
    assert {tag for tag, _ in parsed.tags} <= set(tags.split())
    assert not {name for _, attrs in parsed.tags for name in attrs if name.startswith("on")}
    assert all(attrs["src"].startswith("data:image/") for attrs in parsed.of("img"))
    for start in ("m", "p", "c0", "w", "query0"):
        assert f"{start}{NASTY}" in parsed.text, start
    for start in ("", "d", "unfinished"):
        assert f"{start}{NASTY.replace('/', '|')}" in parsed.text, start
    assert json.dumps(f"k{NASTY}") in parsed.text and json.dumps(f"v{NASTY}") in parsed.text  # settings, as JSON
    titles = [attrs["title"] for attrs in parsed.of("div", "answer ")]
    assert len(titles) == 30 and all(title.startswith("database") and NASTY in title for title in titles)
