"""The commands and folder trees of docs/data-sets.md, each on a miniature in the official format."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.data import miniatures
from tests.experiments.conftest import parsed
from tests.models.matconvnet_files import save, small_cnn_f

PAGE = Path(__file__).parents[2] / "docs" / "data-sets.md"


def _section() -> str:
    """What comes before the lists of other label structures, which need no miniature."""
    return PAGE.read_text(encoding="utf-8").split("\n## Other label structures\n")[0]


def _blocks(kind: str) -> list[str]:
    return [
        line
        for block in re.findall(rf"```{kind}\n(.*?)```", _section(), re.DOTALL)
        for line in block.splitlines()
        if line
    ]


COMMANDS = _blocks("sh")


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """The page's path -> the miniature's, longest first."""
    import numpy as np

    root = miniatures.write_all(tmp_path_factory.mktemp("data"))
    rng = np.random.default_rng(0)
    weights = save(root / "imagenet-vgg-f.mat", small_cnn_f(rng), rng.uniform(90, 130, (224, 224, 3)))
    return {
        "/data/imagenet-vgg-f.mat": weights,
        "/data/mirflickr25k": root / "mirflickr25k",
        "/data/nus_wide": root / "nus_wide",
        "/data/wikipedia": root / "wikipedia",
        "/data/pictures": root / "folder",
        "/data/features": root / "extracted",  # <data_dir>/features is the cache
        "/data/lists": root / "lists",
        "/data/tfds": root,
    }


def _local(text: str, places) -> str:
    for written, path in places.items():
        text = text.replace(written, str(path))
    assert "/data/" not in text.replace(str(next(iter(places.values())).parent), "")
    return text


def test_every_data_set_has_a_command():
    from dseh_tf.data.catalog import DATASETS

    shown = {match for line in COMMANDS for match in re.findall(r"--dataset=(\S+)", line)}
    assert set(DATASETS) - {"multi_digits"} <= shown and "tfds:cifar10" in shown


def test_trees_are_what_the_readers_read(places):
    lines = _blocks("text")
    assert len(lines) > 15
    for line in lines:
        path = re.split(r"\s{3,}", line)[0]
        if "downloads/manual" in path:
            continue  # made into records by TFDS: see the test of the archives
        pattern = _local(re.sub(r"<[^>]*>", "*", path), places)
        root = str(next(iter(places.values())).parent)
        assert next(Path(root).glob(str(Path(pattern).relative_to(root))), None) is not None, line


@pytest.mark.parametrize("line", COMMANDS)
def test_command(run, places, capsys, line):
    """Parsed as it stands; then the split is drawn with small numbers, and what the run would train on is loaded."""
    if "--features" in line and not (places["/data/features"] / "features.json").exists():
        before = next(one for one in COMMANDS if "extract_features" in one)
        test_command(run, places, capsys, before)
    words = shlex.split(_local(line, places))
    assert words[:2] == ["python", "-m"]
    arguments = words[3:]
    name = next(word.partition("=")[2] for word in arguments if word.startswith("--dataset="))
    small = miniatures.SMALL[name]
    if "cifar10_train=whole_database" in line:
        small = {"queries": small["queries"]}
    arguments += [f"--{flag}={value}" for flag, value in small.items()]
    if name == "imagenet_100":
        arguments.append(f"--imagenet_classes={places['/data/tfds'] / 'classes.txt'}")
    _start(words[2], arguments)
    if words[2].endswith("check_split"):
        own_split = name in ("image_lists", "wikipedia")  # their files are the split
        stated = "no protocol stated; no query in train or database" if own_split else "as the protocol says"
        assert f"split: {stated}" in capsys.readouterr().out


def _start(program: str, arguments: list[str]) -> None:
    from experiments import check_split, extract_features, run

    if program == "experiments.check_split":
        with parsed(*arguments):
            check_split.main([program])
    elif program == "experiments.extract_features":
        out = next(word for word in arguments if word.startswith("--out="))
        arguments.remove(out)
        with parsed(*arguments):
            extract_features.main([program], SimpleNamespace(out=out[6:], mirrored=None, seed=0, progress=False))
    else:
        assert program == "experiments.run"
        from dseh_tf.devices.replicas import make_strategy

        with parsed("--noprogress", *arguments):
            method = run._method()
            config = run.config_of(method, run.data_config())
            dataset = run._dataset(method, make_strategy(), progress=False)
        if "--train_backbone" in arguments:
            assert config["trunk"]["train"] and dataset.has_images and not dataset.has_features
            assert dataset.train.images.read(0).ndim == 3
            assert method.trunk.build(0).dim == 7
        else:
            assert dataset.database.features.shape == (len(dataset.database), 7)
        if "--cifar10_train=whole_database" in arguments:
            assert len(dataset.train) == len(dataset.database)
