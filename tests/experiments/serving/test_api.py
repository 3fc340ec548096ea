"""The JSON API in-process: answers against the levels of the images, and what is refused."""

from __future__ import annotations

import re

import pytest

from dseh_tf.errors import InputError
from dseh_tf.retrieval import pack
from tests.experiments.serving.conftest import BITS, WORDS, Place, code_of, found, image_of, refused

HEADERS = {"Content-Type": "image/png"}


@pytest.mark.parametrize("asked", [{}, {"top": 3}, {"radius": 2}, {"label": "day", "top": 2}, {"radius": 0, "top": 1}])
def test_an_image_is_searched(client, place, asked):
    limits = {"most": asked.get("top", 20), "radius": asked.get("radius", BITS), "label": asked.get("label")}
    response = client().post("/api/search", content=image_of(100), headers=HEADERS, params=asked)
    assert found(response) == place.expected(100, **limits) != []
    answer = response.json()["answers"][0]
    assert answer["code"] == pack(code_of(100)[None]).tobytes().hex() and answer["bits"] == BITS
    for item in answer["nearest"]:
        assert item["labels"] == place.labels(int(item["id"].removesuffix(".png")))
        assert item["thumbnail"] == f"/api/thumbnail?run=0&id={item['id']}"


def test_search_on_from_an_item_by_words_and_by_a_code(client, place):
    api = client()
    response = api.get("/api/search", params={"id": "34.png", "top": 4})
    assert found(response) == place.expected(34, 4)
    query = {"kind": "id", "value": "34.png", "labels": ["<night>"], "thumbnail": "/api/thumbnail?run=0&id=34.png"}
    assert response.json()["query"] == query
    for word, level in WORDS.items():
        assert found(api.get("/api/search", params={"text": word, "top": 5})) == place.expected(level, 5)
    code = pack(code_of(130)[None]).tobytes().hex()
    assert found(api.get("/api/search", params={"code": code, "radius": 1})) == place.expected(130, 20, radius=1)


def test_without_a_model(client, place):
    api = client(models=False)
    assert found(api.get("/api/search", params={"id": "0.png", "top": 4})) == place.expected(0, 4)
    refused(api.post("/api/search", content=image_of(9), headers=HEADERS), 422, "image: found no model for photographs")
    refused(
        api.get("/api/search", params={"text": "dark"}), 422, "text: found no model for photographs.index, expected"
    )
    (run,) = api.get("/api/about").json()["runs"]
    assert (run["model"], run["reads_images"], run["reads_words"], run["items"]) == (None, False, False, 16)


@pytest.mark.parametrize(
    ("asked", "status", "line"),
    [
        ({}, 400, "query: found none, expected one of text, id and code"),
        ({"text": "dark", "id": "0.png"}, 400, "query: found text, id, expected one of"),
        ({"id": "1.png"}, 404, "id: found '1.png', expected an item of photographs.index"),
        ({"id": "\0"}, 404, "id: found '\\x00', expected an item"),
        ({"id": "0.png", "run": 1}, 404, "run: found 1, expected 0 to 0"),
        ({"id": "0.png", "top": 0}, 422, "top: found '0', expected greater than or equal to 1"),
        ({"id": "0.png", "top": 1001}, 422, "top: found '1001', expected less than or equal to 1000"),
        ({"id": "0.png", "radius": "x"}, 422, "radius: found 'x', expected a valid integer"),
        ({"id": "0.png", "label": "dog"}, 422, "label: found 'dog', expected a label of the index"),
        ({"text": "dusk"}, 422, "text: found the word 'dusk', expected one of the vocabulary"),
        ({"text": "x" * 1001}, 422, "text: found 'x"),
        (
            {"code": "ff"},
            422,
            "code: found 'ff' (found 1 bytes per code, expected 2 for 12 bits), expected 4 hexadecimal",
        ),
        ({"code": "xy"}, 422, "code: found 'xy', expected 4 hexadecimal digits of 12 bits"),
        ({"code": "ffff"}, 422, "code: found 'ffff'"),
    ],
)
def test_queries_that_are_refused(client, asked, status, line):
    refused(client().get("/api/search", params=asked), status, line)


def test_other_addresses(client):
    api = client()
    refused(api.get("/docs"), 404, "GET /docs: not found")
    refused(api.put("/api/search"), 405, "PUT /api/search: method not allowed")
    refused(api.get("/files/app.py"), 404, "found no file 'app.py'")
    refused(api.get("/api/thumbnail"), 422, "id: found none, field required")


def test_a_fault_of_ours_is_one_line(client, place, monkeypatch):
    monkeypatch.setattr(place.model, "encode", lambda images: 1 / 0)
    refused(client().post("/api/search", content=image_of(9), headers=HEADERS), 500, "an internal error")


def test_two_indexes_side_by_side(client, place, tmp_path):
    """An image is searched in both. An item of one is searched in the other by its picture, where it is not in both."""
    other = Place(tmp_path / "b", first=5, step=13)
    api = client(place, other)
    response = api.post("/api/search", content=image_of(100), headers=HEADERS, params={"top": 6})
    assert [found(response, run) for run in (0, 1)] == [place.expected(100, 6), other.expected(100, 6)]
    assert response.json()["answers"][1]["nearest"][0]["thumbnail"].startswith("/api/thumbnail?run=1&")
    response = api.get("/api/search", params={"id": "70.png", "run": 1, "top": 5})
    assert [found(response, run) for run in (0, 1)] == [place.expected(70, 5), other.expected(70, 5)]
    # A label of one index, and an index that is gone: the other one answers.
    other.index.rename(tmp_path / "gone")
    response = api.post("/api/search", content=image_of(100), headers=HEADERS, params={"label": "day", "top": 2})
    assert found(response) == place.expected(100, 2, label="day")
    assert "photographs.index: no such file" in response.json()["answers"][1]["error"]
    assert [run["error"] is None for run in api.get("/api/about").json()["runs"]] == [True, False]
    place.index.rename(tmp_path / "gone too")
    refused(api.get("/api/search", params={"code": "0000"}), 503, "the index cannot be read now: ")


def test_codes_of_another_precision(client, place):
    """The index says which encoder made its codes; a model of another one is served where it is allowed."""
    (run,) = client().get("/api/about").json()["runs"]
    assert (run["encoder"], run["identity"]) == ("float32", None)
    place.about |= {"encoder": "litert_int8", "identity": "1a2b"}
    place.write()
    with pytest.raises(InputError, match="encoder: found float32, expected litert_int8 as in the index"):
        client()
    api = client(allow_mixed=True)
    (run,) = api.get("/api/about").json()["runs"]
    assert (run["encoder"], run["identity"]) == ("litert_int8", "1a2b")
    place.write()  # opened again for the next search
    assert found(api.post("/api/search?top=3", content=image_of(34), headers=HEADERS)) == place.expected(34, 3)


def test_an_item_without_a_picture_in_another_index(client, place, tmp_path):
    other = Place(tmp_path / "b", first=5)
    response = client(place, other, models=False).get("/api/search", params={"id": "17.png", "top": 2})
    assert found(response) == place.expected(17, 2)
    assert response.json()["answers"][1]["error"].startswith(
        "id: found '17.png', which photographs.index does not have"
    )


def test_the_same_pictures_in_two_indexes_have_one_id(client, place, tmp_path):
    """Two runs on one set of images: the other one's own code is taken, and nothing is encoded."""
    other = Place(tmp_path / "b")
    other.about = place.about
    other.write()
    response = client(place, other, models=False).get("/api/search", params={"id": "17.png", "top": 2})
    assert [found(response, run) for run in (0, 1)] == [place.expected(17, 2)] * 2


def test_the_description(client):
    """OpenAPI names every route and what it refuses."""
    paths = client().get("/openapi.json").json()["paths"]
    assert set(paths) == {"/api/about", "/api/search", "/api/thumbnail"}
    statuses = " ".join(sorted(paths["/api/search"]["post"]["responses"]))
    assert statuses == "200 400 404 408 413 415 422 503"
    assert list(paths["/api/search"]["post"]["requestBody"]["content"]) == ["image/*"]
    error = paths["/api/search"]["get"]["responses"]["422"]["content"]["application/json"]["schema"]
    assert error == {"$ref": "#/components/schemas/Error"}


def test_the_page(client):
    """No text of the index becomes markup, and nothing is loaded from elsewhere."""
    response = client().get("/")
    text = response.text
    assert "<option>&lt;night&gt;</option>" in text and "<night>" not in text and "<b>noon" not in text
    addresses = re.findall(r"(?:src|href)=\"([^\"]*)\"", text)
    assert len(addresses) >= 4 and all(address.startswith("/") for address in addresses)
    files = {address: client().get(address) for address in addresses}
    assert all(file.status_code == 200 for file in files.values())
    assert not any(re.search(r"//[a-z]+\.|@import|url\(", files[f"/files/serve.{kind}"].text) for kind in ("css", "js"))
    assert 'id="text"' in text and 'type="file"' in text
    without = client(models=False).get("/").text
    assert 'id="text"' not in without and 'type="file"' not in without and "no model" in without
