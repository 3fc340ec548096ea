"""What a request may cost, who may send it, and which files are read."""

from __future__ import annotations

import asyncio
import io
import os
import struct
import threading
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from dseh_tf.retrieval.search import ENGINES
from tests.experiments.serving.conftest import Place, found, image_of, refused

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from experiments.serving import limits, pictures

PNG = {"Content-Type": "image/png"}


def post(api, data, headers=PNG, **asked):
    return api.post("/api/search", content=data, headers=headers, params=asked)


def png_header(width: int, height: int) -> bytes:
    """A PNG that says its size and has no pixels."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b""))]
    made = [
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in [*parts, (b"IEND", b"")]
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


def animated() -> bytes:
    file = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), (level,) * 3) for level in (0, 90, 200)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "kind", "status", "line"),
    [
        (b"", "image/png", 400, "image: found an empty file, expected an image"),
        (b"0" * 3000, "image/png", 413, "image: found a file of 0.0 MB, expected at most 0.00195312 MB"),
        (iter([b"0" * 1500] * 2), "image/png", 413, "image: found a larger file, expected at most"),
        (image_of(9), "text/plain", 415, "Content-Type: found text/plain, expected image/jpeg, image/png or similar"),
        (image_of(9), "", 415, "Content-Type: found none, expected image/jpeg"),
        (image_of(9), "multipart/form-data; boundary=x", 415, "Content-Type: found multipart/form-data, expected"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", 415, "image: found none, expected one of JPEG, PNG"),
        (image_of(9, (64, 64), "ICO"), "image/x-icon", 415, "image: found none, expected one of JPEG, PNG"),
        (image_of(9, (100, 100), "JPEG")[:700], "image/jpeg", 422, "image: found a truncated or damaged image"),
        (animated(), "image/gif", 422, "image: found an animated image of 3 frames, expected one picture"),
        (image_of(9, (101, 100)), "image/png", 422, "image: found 101 x 100 pixels (0.0101 million), expected at most 0.01"),
        (png_header(10_000, 10_000), "image/png", 422, "image: found 10000 x 10000 pixels (100 million), expected at most"),
        (png_header(60_000, 60_000), "image/png", 422, "image: found far too many pixels, expected at most 0.01 million"),
    ],
)  # fmt: skip
def test_uploads_that_are_refused(client, monkeypatch, data, kind, status, line):
    if "pixels" in line:  # by the header alone
        monkeypatch.setattr(limits, "decode_bytes", lambda *_: pytest.fail("the image was decoded"))
    refused(post(client(bytes=2048, pixels=10_000), data, {"Content-Type": kind} if kind else {}), status, line)


@pytest.mark.parametrize("kind", limits.FORMATS)
def test_uploads_of_every_format(client, place, kind):
    api = client(pixels=1200, bytes=len(image_of(170, kind=kind)))  # just as much as is there
    assert found(post(api, image_of(170, kind=kind), top=3)) == place.expected(170, 3)
    assert found(post(api, image_of(170, kind=kind), {"Content-Type": "application/octet-stream"}, top=1))


def test_an_upload_that_never_ends():
    async def slow():
        yield b"1"
        await asyncio.sleep(30)

    begin = time.monotonic()
    with pytest.raises(limits.Refused, match=r"image: found an unfinished upload after 0\.1 seconds") as error:
        asyncio.run(limits.read_body(slow(), {"content-type": "image/png"}, limits.Limits(seconds=0.1)))
    assert error.value.status == 408 and time.monotonic() - begin < 5


def test_encoding_takes_too_long_and_too_many_wait(client, place):
    """A query beyond those that may wait is refused at once; searches that encode nothing go on; all is well afterwards."""
    api = client(seconds=1, waiting=1)
    place.model.pause = 3
    answers = {}
    threads = [threading.Thread(target=lambda n=n: answers.update({n: post(api, image_of(9))})) for n in range(2)]
    for thread in threads:
        thread.start()
        time.sleep(0.1)
    refused(post(api, image_of(9)), 503, "busy: found too many queries at once")
    assert found(api.get("/api/search", params={"id": "0.png", "top": 2})) == place.expected(0, 2)
    for thread in threads:
        thread.join()
    refused(answers[0], 503, "encoding: found it unfinished after 1 seconds")
    refused(answers[1], 503, "busy: found no free slot to encode within 1 seconds")
    place.model.pause = 0
    while place.model.running:
        time.sleep(0.05)
    assert found(post(api, image_of(9), top=2)) == place.expected(9, 2)
    assert place.model.most == 1


def test_as_many_are_encoded_at_a_time_as_is_said(client, place):
    api = client(encodes=2, waiting=6)
    place.model.pause = 0.15
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(post(api, image_of(9)).status_code)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 6 and place.model.most == 2


def test_who_may_ask(client):
    api = client()
    for host in ("127.0.0.1:8000", "localhost", "LOCALHOST:1", "[::1]:8000", "192.168.0.7", "photographs.lan:80"):
        response = api.get("/api/about", headers={"Host": host})
        assert response.status_code == 200, host
    for host in ("rebound.example", "127.0.0.1.example:8000", "localhost.example", "", "::1", "[x]"):
        for path in ("/", "/api/about", "/files/serve.js"):
            if host == "::1":
                continue  # not a valid header, and no name either
            refused(api.get(path, headers={"Host": host}), 400, "Host: found ")
    for site, status in (("same-origin", 200), ("none", 200), ("cross-site", 403), ("same-site", 403)):
        assert api.get("/api/about", headers={"Sec-Fetch-Site": site}).status_code == status
        assert api.get("/", headers={"Sec-Fetch-Site": site}).status_code == 200
    asked = {"Origin": "http://other.example", "Access-Control-Request-Method": "POST"}
    for response in (api.options("/api/search", headers=asked), api.get("/api/about", headers=asked)):
        assert not [name for name in response.headers if name.startswith("access-control")]
        assert response.headers["cross-origin-resource-policy"] == "same-origin"
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "http" not in policy and "unsafe" not in policy


def thumbnail(api, name: str, run: int = 0):
    return api.get("/api/thumbnail", params={"id": name, "run": run})


def test_thumbnails(client, place):
    """Small, upright and of the image's proportions; a file of the folder that is no item is not served."""
    Image.linear_gradient("L").resize((900, 300)).save(place.images / "wide.png")
    turned = Image.new("RGB", (400, 200), "red")
    turned.getexif()[0x0112] = 6  # a camera held upright
    turned.save(place.images / "tall.jpg", exif=turned.getexif())
    Image.fromarray(np.full((30, 20), 65535, np.uint16)).save(place.images / "deep.png")
    (place.images / "broken.png").write_bytes(image_of(9)[:60])
    (place.images / "huge.png").write_bytes(png_header(12_000, 10_000))
    (place.images / "unlisted.png").write_bytes(image_of(9))
    os.mkfifo(place.images / "pipe")
    place.write(["wide.png", "tall.jpg", "deep.png", "broken.png", "huge.png", "gone.png", "pipe", ".", "a" * 5000])
    api = client()
    for name, size in (("wide.png", (320, 107)), ("tall.jpg", (160, 320)), ("0.png", (40, 30)), ("deep.png", (20, 30))):
        response = thumbnail(api, name)
        assert response.headers["content-type"] == "image/jpeg"
        image = Image.open(io.BytesIO(response.content))
        assert (image.format, image.size) == ("JPEG", size)
    assert np.asarray(image).min() > 250  # 16 bits a pixel are not cut to 8
    for name in ("broken.png", "gone.png", "pipe", "."):
        refused(thumbnail(api, name), 404, f"id: found no picture of '{name}'")
    refused(
        thumbnail(api, "huge.png"), 422, "image: found 12000 x 10000 pixels (120 million), expected at most 64 million"
    )
    refused(thumbnail(api, "unlisted.png"), 404, "id: found 'unlisted.png', expected an item of photographs.index")
    refused(thumbnail(api, "0.png", 1), 404, "run: found 1, expected 0 to 0")


def test_only_files_of_the_folder_are_read(client, place, tmp_path):
    """Though an index names others: by `..`, by an absolute path, or by a link."""
    secret = tmp_path / "secret.png"
    secret.write_bytes(image_of(9))
    (place.images / "link.png").symlink_to(secret)
    (place.images / "inside.png").symlink_to(place.images / "0.png")
    names = ["../../secret.png", "x/../../../secret.png", str(secret), "link.png"]
    place.write([*names, "inside.png", "/dev/zero"])
    api = client()
    for name in [*names, "/dev/zero"]:
        refused(thumbnail(api, name), 403, f"id: found {name!r}, which is outside the folder of the images")
    assert thumbnail(api, "inside.png").status_code == 200
    # An item is not searched by such a picture in another index either.
    other = Place(tmp_path / "b")
    both = client(place, other)
    response = both.get("/api/search", params={"id": names[0], "top": 1})
    assert response.json()["answers"][1]["error"].startswith(f"id: found {names[0]!r}, which is outside the folder")
    refused(thumbnail(client(roots=[str(tmp_path / "nowhere")]), "0.png"), 404, "id: found no picture of '0.png'")


def test_no_pictures_are_known(client, place):
    del place.about["images"]
    place.write()
    api = client(models=False)
    assert api.get("/api/search", params={"id": "0.png"}).json()["answers"][0]["nearest"][0]["thumbnail"] is None
    refused(thumbnail(api, "0.png"), 404, "id: found no pictures for photographs.index; --images_root says")


def test_thumbnails_are_kept_within_bounds(place):
    made = []

    class Counted:
        def small(self, name: str) -> Image.Image:
            made.append(name)
            return Image.new("RGB", (8, 8))

    size = len(pictures.Thumbnails().of(0, Counted(), "x"))
    kept = pictures.Thumbnails(most=3 * size)
    for name in "xabcaxb":
        kept.of(0, Counted(), name)
    # x, a, b and c were made; c pushed x out, then x pushed b out, and b pushed c out.
    assert made[1:] == ["x", "a", "b", "c", "x", "b"] and kept._bytes == 3 * size == sum(map(len, kept._kept.values()))
    kept.of(1, Counted(), "b")
    assert len(made) == 8


@pytest.mark.parametrize("engine", ["exact", "duckdb"])
def test_an_index_that_is_gone_damaged_or_another(client, tmp_path, engine):
    """In the middle of searches: 503 and one line, until it is back. A file that was replaced is read again."""
    if ENGINES[engine]:
        pytest.importorskip(ENGINES[engine][1])
    place = Place(tmp_path / "own", engine)
    api = client(place)
    whole = place.index.read_bytes()
    ask = {"id": "34.png", "top": 3}
    assert found(api.get("/api/search", params=ask)) == place.expected(34, 3)
    place.index.unlink()
    for _ in range(2):
        refused(api.get("/api/search", params=ask), 503, "the index cannot be read now: ")
        refused(thumbnail(api, "34.png"), 503, "the index cannot be read now: ")
        assert "no such file" in api.get("/").text
    for damaged in (whole[: len(whole) // 2], b"", b"\0" * 5000):
        place.index.write_bytes(damaged)
        refused(post(api, image_of(34)), 503, f"the index cannot be read now: {place.index}")
    place.index.unlink()
    place.index.write_bytes(whole)
    assert found(api.get("/api/search", params=ask)) == place.expected(34, 3)
    place.levels = place.levels[::2]
    place.write()
    assert found(api.get("/api/search", params=ask)) == place.expected(34, 3)
    assert api.get("/api/about").json()["runs"][0]["items"] == 8
    place.about["method"] = "sh"  # of another run than the model
    place.write()
    refused(
        api.get("/api/search", params=ask), 503, f"the index cannot be read now: {place.model.folder}: method: found"
    )


def test_an_engine_that_fails_while_it_searches(client, place, monkeypatch):
    """Such as a database that closes its connection: whatever it raises."""
    from dseh_tf.retrieval.search.exact import ExactIndex

    api, search = client(), ExactIndex.search
    monkeypatch.setattr(ExactIndex, "search", lambda *_: (_ for _ in ()).throw(RuntimeError("connection\nlost")))
    refused(api.get("/api/search", params={"id": "0.png"}), 503, "the index cannot be read now: connection lost")
    monkeypatch.setattr(ExactIndex, "search", search)
    assert found(api.get("/api/search", params={"id": "0.png", "top": 1})) == place.expected(0, 1)
