"""The program: its flags, its start and end, and the page in a browser."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from absl import flags

from dseh_tf import load_run
from dseh_tf.encoding import shallow
from dseh_tf.errors import InputError
from dseh_tf.retrieval import pack
from dseh_tf.retrieval.search import new_index
from experiments import program, serve
from tests.experiments.serving.conftest import BITS, Place, image_of

ROOT = Path(__file__).parents[3]
SIZE = (6, 5)


def call(*arguments: object) -> int:
    values = flags.FlagValues()
    serve.define_flags(values)
    given = program.parsed(["serve", *map(str, arguments)], values)
    return serve.main(given, values)


@pytest.fixture
def own(place) -> Place:
    """A place whose model is the encoder of a run on raw pixels, and whose images are of noise."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(90, BITS))
    rows = shallow.Rows(False, np.full(90, 0.5))
    run = place.folder / "run"
    shallow.Projection(rows=rows, image_shape=SIZE, weights=weights).save(run / "encoder.npz")
    trunk = {"backbone": "compact", "image_size": 48, "train": False, "scaling": None}
    place.configure(seed=0, trunk=trunk)
    from PIL import Image

    paths = [place.images / f"{level}.png" for level in place.levels]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (*SIZE, 3), np.uint8)).resize((60, 90)).save(path)
    held = new_index("exact", bits=BITS, about=place.about)
    labels = [["a long label of several words", "x" * 40] if n % 2 else ["sea"] for n in range(len(paths))]
    held.add(load_run(run).encode(paths), [path.name for path in paths], labels)
    held.save(place.index)
    return place


@contextmanager
def serving(*arguments: object) -> Iterator[tuple[subprocess.Popen, str]]:
    """The running program and its address."""
    command = [sys.executable, "-m", "experiments.serve", "--port=0", *map(str, arguments)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout and process.stderr
        line = process.stdout.readline()
        found = re.fullmatch(r"serving at (http://\S+/) \(Ctrl-C stops\)\n", line)
        assert found, line + process.stderr.read()
        yield process, found[1]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_clean_stop(place, number):
    pytest.importorskip("uvicorn", reason="the extra serve is not installed")
    with serving(f"--index={place.index}") as (process, address):
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{address}api/search?id=0.png&top=2", timeout=30) as response:
            assert len(json.load(response)["answers"][0]["nearest"]) == 2
        process.send_signal(number)
        out, error = process.communicate(timeout=30)
        assert (process.returncode, out, error) == (0, "", "stopped\n")


def test_what_is_refused_at_the_start(place, tmp_path, monkeypatch):
    pytest.importorskip("uvicorn", reason="the extra serve is not installed")
    index, run = f"--index={place.index}", f"--model={place.folder / 'run'}"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, line in (
            ([], "--index: found none, expected one, or 2 to compare"),
            ([index] * 3, "--index: found 3, expected one, or 2 to compare"),
            ([index, index, run], "--model: found 1, expected none or one for each --index"),
            (
                [index, "--images_root=a", "--images_root=b"],
                "--images_root: found 2, expected one, or one for each of 1",
            ),
            ([index, "--backbone=a", "--backbone=b"], "--backbone: found 2, expected one, or one for each of 0"),
            ([f"--index={tmp_path / 'none'}"], "none: found no such file"),
            ([f"--index={place.folder / 'run' / 'config.json'}"], "config.json: "),
            ([index, f"--model={tmp_path}"], "config.json: "),
            ([index, run, f"--port={port}"], f"--port: found {port}, which is in use, expected a free one"),
            ([index, "--port=70000"], "--port: found '70000', expected "),
            ([index, "--host=192.0.2.1"], "--host: found '192.0.2.1', expected an address of this machine"),
            ([index, "--host=no such host"], "--host: found 'no such host', expected an address or a name"),
            ([index, "--time_limit=0"], "--time_limit: found '0', expected "),
            ([index, run, "--port=0"], "run: found neither imgnet"),
        ):
            with pytest.raises(InputError, match=re.escape(line)) as error:
                call(*arguments)
            assert "\n" not in str(error.value)
    for field, value in (("bits", 16), ("method", "itq"), ("trunk", {"backbone": "cnn_f"})):
        place.about["backbone"] = "compact"
        place.write()
        place.configure(**{field: value})
        name = "backbone" if field == "trunk" else field
        with pytest.raises(InputError, match=f"run: {name}: found .*, expected .* as in the index"):
            call(index, run)
    del place.about["backbone"]
    place.about["encoder"] = "litert_int8"
    place.write()
    place.configure()
    with pytest.raises(InputError, match=r"run: encoder: found float32, expected litert_int8 .*\(--allow_mixed"):
        call(index, run)
    with pytest.raises(InputError, match="run: found neither imgnet"):  # it goes on, to a run without an encoder
        call(index, run, "--allow_mixed", "--port=0")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(
        InputError, match=r"found no package uvicorn, which experiments.serve needs: pip install 'dseh_tf\[serve\]'"
    ):
        call(index)


def test_the_commands_of_the_documentation(client, place, tmp_path):
    """Flags are those of the program, and each request of docs/serve.md has an answer."""
    (place.images / "dogs").mkdir()
    (place.images / "dogs" / "12.jpg").write_bytes(image_of(12, kind="JPEG"))
    place.labels = lambda level: ["dog"]
    place.write(["dogs/12.jpg"])
    api, seen = client(), set()
    text = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
    for block in re.findall(r"^```sh\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
        for words in map(shlex.split, block.splitlines()):
            if words[:3] == ["python", "-m", "experiments.serve"]:
                values = flags.FlagValues()
                serve.define_flags(values)
                program.parsed(["serve", *words[3:]], values)
                seen.add(f"{len(values.index)} {len(values.model)}")
            elif words[0] == "curl":
                url = words[-1].replace("text=mountain", "text=dark").replace("1f00c3a9", "0f00")
                sent = {"content": image_of(9, kind="JPEG"), "headers": {"Content-Type": "image/jpeg"}}
                response = api.post(url, **sent) if "--data-binary" in words else api.get(url)
                assert response.status_code == 200, response.text
                seen.add(re.sub(r"=.*", "", url.partition("/api/")[2]))
            else:
                assert words[0] == "pip" or words[2] == "experiments.index"
    assert seen == {
        "1 1",
        "2 2",
        "about",
        "thumbnail?id",
        *(f"search?{kind}" for kind in ("top", "id", "code", "text")),
    }
    shown = json.loads(re.findall(r"^```json\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)[0])
    found = api.post("/api/search", **sent).json()
    for one, other in ((shown, found), (shown["query"], found["query"]), (shown["answers"][0], found["answers"][0]),
                       (shown["answers"][0]["nearest"][0], found["answers"][0]["nearest"][0])):  # fmt: skip
        assert one.keys() == other.keys()


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window, steered by its own driver."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    paths = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    if not all(paths.values()):
        pytest.skip(f"found no {' and no '.join(name for name, path in paths.items() if not path)} on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = paths["chromium"]
    for argument in ("--headless=new", "--disable-dev-shm-usage", "--disable-gpu", "--force-prefers-reduced-motion"):
        options.add_argument(argument)
    if os.getuid() == 0:  # Chromium's sandbox does not run as root
        options.add_argument("--no-sandbox")
    driver = webdriver.Chrome(options, webdriver.ChromeService(paths["chromedriver"]))
    yield driver
    driver.quit()


class Page:
    """What a person sees and does, at a width of the window."""

    def __init__(self, driver, address: str, width: int) -> None:
        self.driver = driver
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.get(address)

    def all(self, selector: str) -> list:
        return self.driver.find_elements("css selector", selector)

    def one(self, selector: str):
        (element,) = self.all(selector)
        return element

    def until(self, what, seconds: float = 20):
        end = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < end, self.driver.find_element("tag name", "body").text
            time.sleep(0.05)
        return found

    def answers(self, run: int = 0) -> list[tuple[str, int]]:
        """(id, distance) of the shown items."""
        script = """return [...document.querySelectorAll('#answers section')][arguments[0]] &&
            [...[...document.querySelectorAll('#answers section')][arguments[0]].querySelectorAll('.item')].map(
            item => [item.querySelector('.name').textContent, item.querySelector('.distance').textContent])"""
        found = self.driver.execute_script(script, run) or []
        return [(name, int(distance.removeprefix("distance "))) for name, distance in found]

    def fits(self) -> bool:
        width = self.driver.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
        return width[0] <= width[1]


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 420])
def test_the_page_in_a_browser(browser, own, tmp_path, width):
    """An image is uploaded, answers are seen, one is clicked, and the browser's Back goes back; two indexes beside."""
    pytest.importorskip("uvicorn", reason="the extra serve is not installed")
    encoder, paths = load_run(own.folder / "run"), [own.images / f"{level}.png" for level in own.levels]
    codes = pack(encoder.encode(paths))

    def expected(path: Path, most: int) -> list[tuple[str, int]]:
        far = np.unpackbits(codes ^ pack(encoder.encode([path])), axis=1).sum(axis=1)
        return [(paths[row].name, int(far[row])) for row in np.argsort(far, kind="stable")[:most]]

    pair = (f"--index={own.index}", f"--model={own.folder / 'run'}")
    with serving(*pair, *pair) as (_, address):
        page = Page(browser, address, width)
        assert page.fits() and not page.answers()
        top = page.one("#top")
        top.clear()
        top.send_keys("7")
        page.one("#file").send_keys(str(paths[3]))
        assert page.until(page.answers) == page.answers(1) == expected(paths[3], 7)
        assert page.fits() and page.one("#status").text == "7 and 7 answers, 7 of them in both"
        assert page.one("#picture").get_attribute("alt") == f"Query: {paths[3].name}"
        page.until(lambda: page.one("#picture").is_displayed())
        drawn = "return [...document.images].filter(image => image.complete && image.naturalWidth > 1).length"
        page.until(lambda: browser.execute_script(drawn) >= 3)
        assert all(image.get_attribute("alt") for image in page.all("#answers img"))

        # By the keyboard: the third answer is chosen with Enter.
        chosen = page.answers()[2][0]
        page.all("#answers .item")[2].send_keys("\ue007")
        own_answers = expected(own.images / chosen, 7)
        page.until(lambda: page.answers() == page.answers(1) == own_answers)
        assert chosen in page.one("#told").text and f"id={chosen}" in browser.current_url and page.fits()
        browser.back()
        page.until(lambda: page.answers() == expected(paths[3], 7))
        browser.forward()
        page.until(lambda: page.answers() == own_answers)

        # A filter searches again; an error is one line, and a reload shows the same item.
        page.one("#label option[value='sea'], #label option:last-of-type").click()
        page.until(lambda: page.one("#status").text != "Searching …" and page.answers() != own_answers)
        browser.get(f"{address}?id={chosen}&top=2")
        page.until(lambda: page.answers() == own_answers[:2])
        broken = tmp_path / "broken.png"
        broken.write_bytes(image_of(9)[:60])
        page.one("#file").send_keys(str(broken))
        page.until(lambda: page.one("#wrong").text.startswith("image: found a truncated or damaged image"))
        assert page.fits()
        severe = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        assert len(severe) == 1 and "422" in severe[0], severe  # the broken image alone
