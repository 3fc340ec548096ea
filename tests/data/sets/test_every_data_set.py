"""One battery for every data set of the registry, on its miniature in the official format.

A data set that needs files (`DataSet.source`) and has no miniature fails here; one that needs none is loaded itself.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from dseh_tf.data import DATASETS, DataOptions, catalog, load, protocol_of
from dseh_tf.data.check_split import check_split
from dseh_tf.data.draw import SPLITS
from dseh_tf.data.pixels import load_pixels
from dseh_tf.data.sets.base import DrawOptions
from dseh_tf.errors import InputError
from tests.data import miniatures

NAMES = [*DATASETS, "tfds:cifar10"]
DRAWN = [name for name in NAMES if issubclass(catalog.find(name).options, DrawOptions)]
WITH_FILES = [name for name in DATASETS if DATASETS[name].source]
PARTS = ("train", "query", "database")


@pytest.fixture(scope="module")
def options(miniatures_dir, embedded_dir):
    """The options of a data set by its name, with changes."""

    def of(name: str, **changes) -> DataOptions:
        if name in DATASETS and name not in WITH_FILES:
            return DataOptions(**{"data_dir": embedded_dir, **changes})
        return miniatures.options(miniatures_dir, name, **changes)

    return of


@pytest.fixture(scope="module")
def loaded(options):
    """The data set by its name, each loaded once."""
    found = {}

    def of(name: str):
        if name not in found:
            found[name] = load(name, options(name))
        return found[name]

    return of


@pytest.mark.parametrize("name", NAMES)
def test_every_data_set_has_a_miniature(name, options):
    assert options(name).data_dir.is_dir()


def test_a_data_set_without_a_miniature_is_named(miniatures_dir):
    with pytest.raises(LookupError, match=r"new_set has no miniature: .*tests/data/miniatures.py"):
        miniatures.options(miniatures_dir, "new_set")


def test_the_registry_calls_each_by_its_name():
    assert all(name == data_set.name for name, data_set in DATASETS.items())
    assert all(issubclass(DataOptions, data_set.options) for data_set in DATASETS.values())


@pytest.mark.parametrize("name", NAMES)
def test_the_split_is_proved(name, options, loaded):
    dataset = loaded(name)
    protocol = protocol_of(name, options(name))
    report = check_split(dataset, protocol)
    assert dataset.name == name
    if protocol is not None:
        assert dataset.notes["protocol"] == str(protocol)
    if name in DRAWN:
        assert dataset.notes["protocol"].startswith(name) and dataset.notes["split_seed"] == 0
        assert len(dataset.class_names) == dataset.classes
    ids = {part: set(getattr(dataset, part).ids.tolist()) for part in PARTS}
    assert all(ids[part] and len(ids[part]) == len(getattr(dataset, part)) for part in PARTS)
    assert not ids["query"] & ids["database"] and not ids["query"] & ids["train"]
    assert report.digest == miniatures.DIGESTS.get(name), "another split is drawn (or none is recorded) than before"


@pytest.mark.parametrize("name", NAMES)
def test_rows_have_their_forms(name, loaded):
    dataset = loaded(name)
    assert dataset.classes > 1 and len(dataset.class_names) in (0, dataset.classes)
    assert len(set(dataset.class_names)) == len(dataset.class_names)
    for part in PARTS:
        split = getattr(dataset, part)
        assert split.ids.dtype.kind == "U"
        assert split.labels.dtype == np.uint8 and split.labels.shape == (len(split), dataset.classes)
        assert split.labels.max() == 1 and split.labels.any(axis=1).all()
        assert len(split.images) == len(split)
        image = split.images.read(len(split) - 1)
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[-1] == 3
        assert (split.texts is None) == (dataset.train.texts is None)
        if split.texts is not None:
            assert split.texts.dtype == np.float32 and split.texts.shape == (len(split), dataset.train.texts.shape[1])
            assert (split.texts.data > 0).all() and (split.texts.data <= 1).all()
            assert len(dataset.vocabulary) in (0, split.texts.shape[1])


@pytest.mark.parametrize("name", NAMES)
def test_images_stay_with_their_ids(name, loaded, tmp_path):
    """Each miniature image is of the colour its id tells: read one by one, taken in another order, and from a cache."""
    if name not in miniatures.SMALL:
        pytest.skip("no miniature: tests/data/test_catalog.py looks at its images")
    for part in PARTS:
        split = getattr(loaded(name), part)
        shuffled = split.take(np.random.default_rng(0).permutation(len(split)))
        pixels = load_pixels(shuffled, 8, cache_dir=tmp_path, memory_limit=0, progress=False).array
        for row, image_id in enumerate(shuffled.ids.tolist()):
            colour = miniatures.colour_of(miniatures.name_of(name, image_id))
            assert tuple(shuffled.images.read(row)[0, 0]) == tuple(pixels[row, 3, 3]) == colour


@pytest.mark.parametrize("name", NAMES)
def test_loaded_again_without_images_it_is_the_same_split(name, options, loaded):
    again = load(name, options(name, labels_only=True))
    assert not again.has_images
    assert check_split(again, protocol_of(name, options(name))).digest == check_split(loaded(name)).digest
    for part in PARTS:
        np.testing.assert_array_equal(getattr(again, part).labels, getattr(loaded(name), part).labels)


@pytest.mark.parametrize("name", DRAWN)
def test_the_seed_and_the_way_decide_the_draw(name, options):
    # Without numbers, a set of TFDS asks with its whole test split: nothing is drawn.
    numbers = {"queries": 1} if protocol_of(name, options(name)) is None else {}

    def digest(**changes) -> str:
        changed = options(name, labels_only=True, **numbers, **changes)
        return check_split(load(name, changed), protocol_of(name, changed)).digest

    assert len({digest(), digest(seed=5), digest(seed=6)}) == 3
    assert digest(seed=5) == digest(seed=5)
    assert next(iter([digest(split=split) for split in SPLITS])) == digest()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in DRAWN])
@pytest.mark.parametrize("changes", [{"seed": 5}, {"split": SPLITS[1]}, {"queries": 5}, {"train_rows": 5}])
def test_a_split_that_is_given_takes_no_draw(name, changes, options):
    with pytest.raises(InputError, match=rf"{next(iter(changes))}: found .*, but {name} comes with its split"):
        load(name, options(name, **changes))


def _other_values(name: str) -> dict[str, object]:
    """An allowed value, not its default, of each option that only other data sets have."""
    known = {option.name for option in fields(catalog.find(name).options)}
    return {
        option.name: option.metadata["values"][1] if "values" in option.metadata else "elsewhere"
        for option in fields(DataOptions)
        if option.name in catalog.own_options() and option.name not in known
    }


@pytest.mark.parametrize("name", NAMES)
def test_options_of_other_data_sets_are_refused(name, options):
    others = _other_values(name)
    assert others
    for option, value in others.items():
        with pytest.raises(InputError, match=rf"^{option}: found .*, which {name} does not read, expected") as error:
            load(name, options(name, **{option: value}))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", NAMES)
def test_unknown_options_and_values_are_refused(name, options):
    with pytest.raises(InputError, match=rf"^{name}: found the option 'colour', expected one of data_dir, ") as error:
        load(name, options(name), colour="red")
    assert "\n" not in str(error.value)
    for option in fields(catalog.find(name).options):
        if "values" in option.metadata:
            expected = ", ".join(option.metadata["values"])
            with pytest.raises(InputError, match=rf"^{option.name}: found 'red', expected one of {expected}$"):
                load(name, options(name), **{option.name: "red"})


@pytest.mark.parametrize("name", WITH_FILES)
def test_missing_files_are_one_line_with_what_to_get(name, options, tmp_path, no_network):
    """In an empty folder. Places that only the user knows are asked for by the name of their option."""
    own = {option.name for option in fields(DATASETS[name].options)} & {"lists_dir", "images_root"}
    places = {option: tmp_path for option in own if getattr(options(name), option) is not None}
    with pytest.raises(InputError) as error:
        load(name, DataOptions(data_dir=tmp_path, **places))
    line = str(error.value)
    assert "\n" not in line and line.startswith(str(tmp_path))
    if not places:
        assert line.endswith(DATASETS[name].source) and "https://" in line
    for option in places:
        if options(name).images_root is None or option == "images_root":
            assert option in DATASETS[name].source
            with pytest.raises(InputError, match=rf"^{option}: found none, expected "):
                load(name, data_dir=tmp_path)


def test_a_data_set_that_needs_nothing_says_so():
    """`embedded_dir` builds it from an empty folder without a network."""
    assert [name for name in DATASETS if name not in WITH_FILES] == ["multi_digits"]
