"""What queries return: the order of a stable sort of distances, and where the pictures come from."""

import numpy as np
from PIL import Image

from figures import top_ten
from figures.runs import read_runs
from tests.figures.synthetic import World, write_run


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
