"""What all shallow methods owe: the encoder's contract, bad input, odd shapes, independence of what they must not read."""

import re

import numpy as np
import pytest

from dseh_tf.data import RetrievalDataset, Split
from dseh_tf.data.images import FileImages
from dseh_tf.encoding import shallow as encoders
from dseh_tf.errors import InputError
from dseh_tf.methods import METHODS
from dseh_tf.methods.base import input_matrix
from dseh_tf.methods.shallow import base as shallow
from dseh_tf.methods.shallow.fasth import FastH
from dseh_tf.methods.shallow.itq import ITQ
from dseh_tf.methods.shallow.itq_cca import ITQCCA
from dseh_tf.methods.shallow.ksh import KSH
from dseh_tf.methods.shallow.lsh import LSH
from dseh_tf.methods.shallow.sdh import SDH
from dseh_tf.methods.shallow.sh import SH
from dseh_tf.retrieval import evaluate
from tests.methods.toy import clusters

ALL = [LSH, SH, ITQ, ITQCCA, KSH, SDH, FastH]
QUICK = {"fasth": {"rounds": 5}, "ksh": {"anchors": 30, "iterations": 20}, "sdh": {"anchors": 30, "width": 1.0}}


def make(method, bits=6, seed=0):
    return method(bits=bits, seed=seed, **QUICK.get(method.name, {}))


@pytest.fixture(params=ALL, ids=lambda m: m.name)
def method(request):
    return request.param


@pytest.mark.parametrize("several", [False, True])
def test_codes_are_signs_and_search_better_than_chance(method, several):
    data = clusters(several=several)
    fitted = make(method, bits=12).fit(data)
    query, database = fitted.encode(data.query), fitted.encode(data.database)
    assert query.dtype == np.int8 and query.shape == (len(data.query), 12) and set(np.unique(query)) == {-1, 1}
    related = (data.query.labels.astype(int) @ data.database.labels.T > 0).mean()
    assert evaluate(query, database, data.query.labels, data.database.labels).map > related + 0.05


def test_same_seed_same_codes_and_queries_are_never_read(method):
    data = clusters()
    other = clusters(seed=5)
    first = make(method).fit(data).encode(data.query)
    again = make(method).fit(data.replace(query=other.query, database=other.database)).encode(data.query)
    np.testing.assert_array_equal(first, again)


def test_a_row_has_the_same_code_alone_and_among_others(method, monkeypatch):
    data = clusters()
    fitted = make(method).fit(data)
    whole = fitted.encode(data.query)
    np.testing.assert_array_equal(whole[7:8], fitted.encode(data.query.take(np.array([7]))))
    monkeypatch.setattr(encoders, "BLOCK_ROWS", 13)
    np.testing.assert_array_equal(whole, fitted.encode(data.query))


def test_values_that_are_not_finite_are_named(method):
    data = clusters()
    data.train.features[17, 3] = np.nan
    with pytest.raises(InputError, match=r"train features: found nan in row 17 \(train/17\), column 3"):
        make(method).fit(data)
    data.train.features[17, 3] = 0
    fitted = make(method).fit(data)
    data.query.features[2, 1] = np.inf
    with pytest.raises(InputError, match=r"encoded features: found inf in row 2 \(query/2\), column 1"):
        fitted.encode(data.query)


def test_constant_columns_are_noted_and_harmless(method):
    data = clusters()
    for split in (data.train, data.query, data.database):
        split.features[:, 4] = 0
    fitted = make(method).fit(data)
    assert "1 of 20 feature columns are constant" in fitted.results["notes"][0]
    assert fitted.encode(data.query).shape == (60, 6)


def test_more_bits_than_features_and_classes(method):
    data = clusters(width=3)
    fitted = make(method, bits=16).fit(data)
    codes = fitted.encode(data.database)
    assert codes.shape == (len(data.database), 16) and set(np.unique(codes)) == {-1, 1}
    if method in (SH, ITQ, ITQCCA):
        assert any("16 bits from" in note for note in fitted.results["notes"])


def test_more_columns_than_rows(method):
    data = clusters(rows=40, width=100)
    assert make(method).fit(data).encode(data.query).shape == (10, 6)


def test_images_are_flattened(method):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = (rng.integers(0, 60, (60, 6, 5, 3)) + 60 * labels[:, None, None, None]).astype(np.uint8)
    data = RetrievalDataset.from_arrays((images[:40], labels[:40]), (images[40:], labels[40:]))
    assert make(method).fit(data).encode(data.query).shape == (20, 6)


def test_clear_errors(method):
    data = clusters()
    fitted = make(method).fit(data)
    with pytest.raises(InputError, match="found 3 columns, expected 20"):
        fitted.encode(clusters(width=3).query)
    with pytest.raises(InputError, match="modality: found 'text'"):
        fitted.encode(data.query, modality="text")
    none = np.arange(0)
    assert fitted.encode(data.query.take(none)).shape == (0, 6)
    with pytest.raises(InputError, match="train rows: found none, expected at least one"):
        make(method).fit(data.replace(train=data.train.take(none)))
    data.train.features[:] = 1
    with pytest.raises(InputError, match="found 240 equal rows"):
        make(method).fit(data)
    with pytest.raises(InputError, match="expected features or images"):
        make(method).fit(RetrievalDataset.from_arrays((None, np.arange(4)), (None, np.arange(4))))


@pytest.mark.parametrize("name", ["lsh", "dpsh", "dseh"])
def test_bits_that_no_machine_holds(name):
    for bits in (65_537, 100_000_000, 10**30):
        with pytest.raises(InputError, match=f"^bits: found {bits}, expected at most 65,536$"):
            METHODS[name](bits)
    METHODS["lsh"](65_536)


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [("dpsh", "batch", 10**25), ("dseh", "labnet_width", 2**31), ("dseh", "imgnet_epochs", (1, 2**40, 1))],
)
def test_settings_that_no_machine_holds(name, setting, value):
    with pytest.raises(InputError, match=f"{setting}: found {re.escape(str(value))}, expected at most 2,147,483,647$"):
        METHODS[name](32, **{setting: value})


@pytest.mark.parametrize("bits", [2.5, "8", None])
def test_bits_that_are_no_whole_number(method, bits):
    with pytest.raises(InputError, match=f"bits: found {bits!r}, expected a whole number"):
        make(method, bits=bits)


def test_arrays_are_encoded(method):
    data = clusters()
    fitted = make(method).fit(data)
    codes = fitted.encode(data.query)
    for rows in (data.query.features, data.query.features.astype(float), data.query.features.tolist()):
        np.testing.assert_array_equal(fitted.encode(rows), codes)
    for rows, words in [
        (data.query.features[0], r"encoded: found float32 \[20\], expected uint8 images"),
        (data.query.features[:, :3], "encoded features: found 3 columns, expected 20"),
        (np.ma.array(data.query.features, mask=data.query.features > 1), "encoded: found masked values"),
        (data, "encoded: found RetrievalDataset, expected a Split"),
        (None, "encoded: found NoneType"),
    ]:
        with pytest.raises(InputError, match=words):
            fitted.encode(rows)


def test_arrays_of_images_are_encoded(method):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = (rng.integers(0, 60, (60, 6, 5, 3)) + 60 * labels[:, None, None, None]).astype(np.uint8)
    data = RetrievalDataset.from_arrays((images[:40], labels[:40]), (images[40:], labels[40:]))
    fitted = make(method).fit(data)
    np.testing.assert_array_equal(fitted.encode(images[40:]), fitted.encode(data.query))


def scaled(data, factor):
    """The data set with features times a factor, in float32."""
    parts = {part: getattr(data, part) for part in ("train", "query", "database")}
    return data.replace(
        **{name: split.with_features(split.features * np.float32(factor)) for name, split in parts.items()}
    )


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("exponent", [124, 100, -100])
def test_a_common_factor_changes_no_code(method, exponent):
    """Squares of such numbers overflow or vanish in float32; rows of unit length do not depend on the factor."""
    data = clusters()
    far = scaled(data, 2.0**exponent)
    assert np.isfinite(far.train.features).all()
    plain = make(method).fit(data).encode(data.database)
    assert len(np.unique(plain, axis=0)) > 2
    np.testing.assert_array_equal(make(method).fit(far).encode(far.database), plain)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("factor", [2.0**124, 1e-41])
def test_features_that_keep_their_length(method, factor):
    """Without normalise the codes are worth as much at any scale; SDH's width is an absolute one, which it says."""
    data = clusters()
    settings = {**QUICK.get(method.name, {}), "normalise": False}
    if method is SDH:
        with pytest.raises(InputError, match=r"width: found 1.0 where rows are \S+ from the anchors, expected a width"):
            method(bits=6, **settings).fit(scaled(data, factor))
        return
    found = []
    for rows in (data, scaled(data, factor)):
        fitted = method(bits=6, **settings).fit(rows)
        codes = fitted.encode(rows.query), fitted.encode(rows.database)
        found.append(evaluate(*codes, data.query.labels, data.database.labels).map)
    assert found[1] == pytest.approx(found[0], abs=0.02) and found[0] > 0.8


def test_rows_of_one_direction(method):
    """At unit length they are equal up to rounding, which is nothing to learn from."""
    lengths = np.linspace(1, 9, 40, dtype=np.float32)[:, None]
    for rows in (lengths, lengths * np.linspace(1, 2, 7, dtype=np.float32)):
        data = RetrievalDataset.from_arrays((rows, np.arange(40) % 4), (rows, np.arange(40) % 4))
        with pytest.raises(InputError, match="train features: found 40 rows that differ only in length"):
            make(method).fit(data)


def test_settings_seeds_and_data_sets_of_another_type(method):
    with pytest.raises(InputError, match="dataset: found tuple, expected a RetrievalDataset"):
        make(method).fit((np.ones((4, 2)), [0, 1, 0, 1]))
    for seed in (-1, 1.5, "0", True, None):
        with pytest.raises(InputError, match="seed: found"):
            method(bits=4, seed=seed)
    with pytest.raises(InputError, match="bits: found True, expected a whole number"):
        method(bits=True)
    with pytest.raises(InputError, match="normalise: found 'no', expected True or False"):
        method(bits=4, normalise="no")
    assert method(bits=np.int32(4), seed=np.uint8(3)).bits == 4
    for name, default in vars(method.Settings()).items():
        if not isinstance(default, str):
            with pytest.raises(InputError, match=f"{name}: found '5'"):
                method(bits=4, **{name: "5"})
        if type(default) is int:
            with pytest.raises(InputError, match=f"{name}: found 2.5, expected a whole number"):
                method(bits=4, **{name: 2.5})


def test_zero_is_plus_one():
    np.testing.assert_array_equal(shallow.signs(np.array([-0.1, 0.0, -0.0, 2.0])), [-1, 1, 1, 1])


@pytest.mark.parametrize("rows", [30, 300])  # fewer rows than columns takes the Gram matrix, more the covariance
@pytest.mark.parametrize("count", [4, 25])  # few directions take Lanczos, many the whole decomposition
def test_principal_directions_are_those_of_the_svd(rows, count):
    rng = np.random.default_rng(1)
    x = (rng.standard_normal((rows, 60)) * np.linspace(5, 0.5, 60)).astype(np.float32)
    preparation = shallow.Preparation(x, normalise=False)
    directions, variances = shallow.principal_directions(x, preparation, count)
    centred = x - x.mean(axis=0, dtype=np.float64)
    _, singular, right = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(variances, singular[:count] ** 2 / rows, rtol=1e-5)
    np.testing.assert_allclose(np.abs(np.sum(directions * right[:count].T, axis=0)), 1, atol=1e-5)


def test_preparation_scales_rows_before_it_centres():
    x = np.array([[3.0, 4.0], [0.0, 2.0], [0.0, 0.0]], np.float32)
    unit = np.array([[0.6, 0.8], [0.0, 1.0], [0.0, 0.0]])
    np.testing.assert_allclose(shallow.Preparation(x, True).centred(x), unit - unit.mean(axis=0), atol=1e-7)


def test_images_of_several_sizes(tmp_path):
    """Raw pixels make rows of one width only; the image of another shape is named."""
    from PIL import Image

    paths = tuple(tmp_path / f"{i}.png" for i in range(3))
    for path, size in zip(paths, ((4, 3), (4, 3), (3, 4)), strict=True):
        Image.new("RGB", size, "white").save(path)
    split = Split(np.array([path.name for path in paths]), np.eye(3, dtype=np.uint8), FileImages(paths))
    assert input_matrix(split.take(np.array([1, 0]))).shape == (2, 36)
    with pytest.raises(InputError, match=r"2\.png: found an image of \(4, 3, 3\), expected \(3, 4, 3\) as of 0\.png"):
        input_matrix(split)
