"""Retrieval between modalities: numbers against a brute-force ranking, collapsed codes, and the files of a run."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dseh_tf.errors import InputError
from dseh_tf.retrieval import load_codes, pack, save_codes
from experiments import directions
from experiments.evaluation import print_report

BITS = 5


@pytest.fixture
def rows():
    """Codes ±1 by part and modality, and labels by part."""
    rng = np.random.default_rng(8)
    sizes = {"query": 7, "database": 60}
    codes = {
        f"{p}_{m}": rng.choice([-1, 1], (n, BITS)).astype(np.int8) for p, n in sizes.items() for m in ("image", "text")
    }
    labels = {p: np.eye(3, dtype=np.uint8)[rng.integers(0, 3, n)] for p, n in sizes.items()}
    return codes, labels


def naive_map(query, database, query_labels, database_labels, first=None):
    """Mean over queries of AP, expected over the orders of ties, by drawing many orders."""
    rng = np.random.default_rng(0)
    found = []
    for code, label in zip(query, query_labels, strict=True):
        distance = (code != database).sum(axis=1)
        relevant = (database_labels & label).any(axis=1)
        drawn = []
        for _ in range(400):
            order = np.lexsort((rng.random(len(distance)), distance))
            hits = relevant[order][:first]
            precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
            drawn.append((precision * hits).sum() / max(1, hits.sum()))
        found.append(np.mean(drawn))
    return np.mean(found)


def test_every_direction_is_ranked_by_its_own_codes(rows):
    codes, labels = rows
    found = directions.measured(directions.Codes(**codes), labels["query"], labels["database"])
    assert list(found) == ["image->text", "text->image", "image->image", "text->text"]
    for direction, numbers in found.items():
        asking, searched = direction.split("->")
        sides = codes[f"query_{asking}"], codes[f"database_{searched}"], labels["query"], labels["database"]
        assert numbers["map"] == pytest.approx(naive_map(*sides), abs=0.01)
        assert set(numbers["map_at"]) == {"50"}
        assert numbers["map_at"]["50"] == pytest.approx(naive_map(*sides, first=50), abs=0.01)
    packed = directions.Codes(**{name: pack(code) for name, code in codes.items()})
    assert directions.measured(packed, labels["query"], labels["database"], BITS) == found


def test_random_order_is_the_mean_over_orders(rows):
    _, labels = rows
    found = directions.chance(labels["query"], labels["database"])
    equal = np.ones((7, 3)), np.ones((60, 3)), labels["query"], labels["database"]
    assert found["map"] == pytest.approx(naive_map(*equal), abs=0.01)
    assert found["map_at"] == {"50": pytest.approx(naive_map(*equal, first=50), abs=0.01)}


def test_collapsed_codes_warn_and_healthy_ones_do_not(rows):
    codes, labels = rows
    sides = labels["query"], labels["database"]
    healthy = directions.Codes(**codes)
    assert directions.warning(healthy, directions.measured(healthy, *sides)) is None
    all_equal = directions.Codes(**{name: np.ones_like(code) for name, code in codes.items()})
    told = directions.warning(all_equal, directions.measured(all_equal, *sides))
    assert told.startswith("warning: image->text and text->image have one and the same MAP (") and "\n" not in told
    assert "codes have collapsed: 1 distinct image codes of the query" in told
    copied = directions.Codes(
        codes["query_image"], codes["database_image"], codes["query_image"], codes["database_image"]
    )
    assert "may be copies" in directions.warning(copied, directions.measured(copied, *sides))


def write(folder, rows, **more):
    codes, labels = rows
    folder.mkdir(exist_ok=True)
    save_codes(
        folder / "codes.npz",
        query_codes=codes["query_image"],
        database_codes=codes["database_image"],
        query_labels=labels["query"],
        database_labels=labels["database"],
        query_ids=np.array([f"q{i}" for i in range(7)]),
        database_ids=np.array([f"d{i}" for i in range(60)]),
        bits=BITS,
        **more,
    )


def test_codes_of_texts_in_the_file(tmp_path, rows):
    codes, _ = rows
    write(tmp_path, rows)
    with np.load(tmp_path / "codes.npz") as stored:
        assert not [name for name in stored if "text" in name]
    texts = {"query_codes_text": codes["query_text"], "database_codes_text": codes["database_text"]}
    write(tmp_path, rows, **texts)
    found = load_codes(tmp_path / "codes.npz", BITS)
    for name, code in texts.items():
        np.testing.assert_array_equal(getattr(found, name), pack(code))
    for changes, message in (
        ({"query_codes_text": codes["query_text"][:3]}, r"query_codes_text: found uint8 \[3, 1\], expected uint8 \[7"),
        ({"query_codes_text": None}, "query_codes_text: found none, expected them beside"),
    ):
        with pytest.raises(InputError, match=message):
            write(tmp_path, rows, **{**texts, **changes})


def test_evaluate_reads_the_directions_again(tmp_path, rows, capsys):
    from experiments.results import metrics, reports

    codes, labels = rows
    write(tmp_path, rows, query_codes_text=codes["query_text"], database_codes_text=codes["database_text"])
    config = {"dataset": "arrays", "method": "djsrh", "bits": BITS, "seed": 0}
    (tmp_path / "config.json").write_text(json.dumps(config))
    sides = labels["query"], labels["database"]
    report, _ = reports(codes["query_image"], codes["database_image"], *sides, None)
    result = {**config, **metrics(report, 60), "directions": directions.measured(directions.Codes(**codes), *sides)}
    result["random_order"] = directions.chance(*sides)
    result |= {"n_train": 1, "n_query": 7, "n_database": 60}
    (tmp_path / "result.json").write_text(json.dumps(result))
    print_report(tmp_path)
    shown = capsys.readouterr().out
    assert "  random order MAP " in shown
    assert f"  image->text  MAP {result['directions']['image->text']['map']:.4f} (expected over tied orders)" in shown
    result["directions"]["text->image"]["map_at"]["50"] += 0.01
    (tmp_path / "result.json").write_text(json.dumps(result))
    with pytest.raises(InputError, match=r"directions\.text->image\.map_at\.50: found .*, expected"):
        print_report(tmp_path)
    result["directions"]["text->image"] = {"map": "x"}
    (tmp_path / "result.json").write_text(json.dumps(result))
    with pytest.raises(InputError, match=r"directions\.text->image\.map: found 'x', expected a number"):
        print_report(tmp_path)
