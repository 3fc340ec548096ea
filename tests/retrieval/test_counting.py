import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dseh_tf
from dseh_tf.errors import InputError
from dseh_tf.retrieval import Counts, evaluate, evaluate_shards, pack
from dseh_tf.retrieval.counting import BLOCK, Shard, code_columns
from tests.damage import examples
from tests.retrieval import naive


@pytest.mark.parametrize("classes", [1, 10, 64, 80, 200])
@pytest.mark.parametrize("bits", [1, 8, 12, 63, 64, 65, 128, 200])
def test_counts_equal_a_double_loop(bits, classes):
    case = naive.random_case(np.random.default_rng([bits, classes]), 7, 130, bits, classes, density=3 / (classes + 5))
    if classes == 1:  # one column alone would be class ids
        case = *case[:2], *(np.pad(labels, ((0, 0), (0, 1))) for labels in case[2:])
    counts = evaluate(*case).counts
    relevant, total = naive.counts(*case)
    assert counts.total.dtype == counts.relevant.dtype == np.int64
    np.testing.assert_array_equal(counts.total, total)
    np.testing.assert_array_equal(counts.relevant, relevant)


@pytest.mark.parametrize("ids", [False, True])
@pytest.mark.parametrize("bits", [24, 100])
@pytest.mark.parametrize("n", [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 65])
def test_counts_across_blocks_and_shares_of_queries(bits, n, ids):
    rng = np.random.default_rng(n)
    query, database, query_labels, database_labels = naive.random_case(rng, 150, n, bits, 20)
    alike = query_labels.astype(int) @ database_labels.T.astype(int) > 0
    if ids:
        query_labels, database_labels = rng.integers(0, 20, 150), rng.integers(0, 20, n)
        alike = query_labels[:, None] == database_labels
    report = evaluate(query, database, query_labels, database_labels)
    counts = report.counts
    far = (bits - query.astype(int) @ database.T.astype(int)) // 2
    hits = np.take_along_axis(alike, np.argsort(far, axis=1, kind="stable"), axis=1)
    ranks = np.arange(1, n + 1)
    stable = ((hits.cumsum(axis=1) / ranks) * hits).sum(axis=1) / np.maximum(hits.sum(axis=1), 1)
    np.testing.assert_allclose(report.stable_order(), stable, rtol=1e-12)
    for i in range(len(query)):
        np.testing.assert_array_equal(counts.total[i], np.bincount(far[i], minlength=bits + 1))
        np.testing.assert_array_equal(counts.relevant[i], np.bincount(far[i][alike[i]], minlength=bits + 1))


def test_code_columns():
    """Words by Python's own reading of the bytes; 8 bytes a code are not copied, and nothing can be written to."""
    rng = np.random.default_rng(0)
    for width in (1, 7, 8, 9, 16, 20):
        packed = rng.integers(0, 256, (5, width), np.uint8)
        columns = code_columns(packed)
        rows = [packed[i].tobytes().ljust(-(-width // 8) * 8, b"\0") for i in range(5)]
        expected = [[int.from_bytes(row[w : w + 8], "little") for row in rows] for w in range(0, len(rows[0]), 8)]
        assert columns.tolist() == expected and columns.flags.c_contiguous
        assert not columns.flags.writeable and packed.flags.writeable
        assert np.shares_memory(columns, packed) == (width == 8)


def test_class_ids_and_codes_of_64_bits_are_not_copied():
    packed, ids = np.zeros((5, 8), np.uint8), np.arange(5, dtype=np.uint32)
    shard = Shard.of(packed, ids)
    assert np.shares_memory(shard.codes, packed) and np.shares_memory(shard.ids, ids)


def test_threads_do_not_change_the_result():
    case = naive.random_case(np.random.default_rng(1), 200, 300, 16, 5)
    one, three = evaluate(*case, threads=1), evaluate(*case, threads=3)
    np.testing.assert_array_equal(one.counts.relevant, three.counts.relevant)
    assert one.map == three.map and one.map_stable_order == three.map_stable_order


@examples(25)
@given(
    st.integers(1, 90),
    st.integers(1, 80),
    st.lists(st.integers(0, 200), max_size=3),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_shards_add_up_to_the_same_bits(bits, classes, cuts, packed, seed):
    case = naive.random_case(np.random.default_rng(seed), 5, 200, bits, classes, density=0.05)
    query, database, query_labels, database_labels = case
    whole = evaluate(*case)
    if packed:
        query, database = pack(query), pack(database)
    parts = [slice(a, b) for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), 200], strict=True)]
    report = evaluate_shards(query, query_labels, [(database[p], database_labels[p]) for p in parts], bits)
    np.testing.assert_array_equal(report.counts.relevant, whole.counts.relevant)
    np.testing.assert_array_equal(report.counts.total, whole.counts.total)
    assert report.map == whole.map and report.map_stable_order == whole.map_stable_order


def test_counts_of_other_queries_do_not_add_up():
    one, two = Counts(np.array([[0, 1]]), np.array([[1, 1]])), Counts(np.array([[0, 1, 0]]), np.array([[1, 1, 0]]))
    with pytest.raises(InputError, match=r"found \[1, 3\], expected \[1, 2\]"):
        one + two


def stable_average_precision(query, database, query_labels, database_labels):
    far, alike = naive.distances(query, database), naive.relevance(query_labels, database_labels)
    return [naive.average_precision(hits[np.argsort(d, kind="stable")]) for d, hits in zip(far, alike, strict=True)]


@pytest.mark.parametrize("bits", [3, 16, 64, 70])
def test_stable_order_equals_a_stable_sort(bits):
    case = naive.random_case(np.random.default_rng(bits), 8, 400, bits, 12)
    report = evaluate(*case)
    np.testing.assert_allclose(report.stable_order(), stable_average_precision(*case), rtol=1e-13)
    np.testing.assert_allclose(report.map_stable_order, np.mean(stable_average_precision(*case)), rtol=1e-13)


def test_stable_order_depends_on_the_order_and_the_expectation_does_not():
    query, database, query_labels, database_labels = naive.random_case(
        np.random.default_rng(5), 1, 60, 2, 3, density=0.5
    )
    query_labels[:] = 1, 0, 0
    order = np.argsort(-database_labels[:, 0].astype(int), kind="stable")
    first = evaluate(query, database[order], query_labels, database_labels[order])
    last = evaluate(query, database[order[::-1]], query_labels, database_labels[order[::-1]])
    assert first.map == last.map
    assert first.map_stable_order > first.map > last.map_stable_order


def run(code, folder, **environment):
    env = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_loads_no_tensorflow():
    code = "import dseh_tf.retrieval, sys; print('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert run(code, Path(dseh_tf.__file__).parents[1]) == "False"


def test_runs_where_no_folder_can_be_written(tmp_path):
    library, copy = Path(dseh_tf.__file__).parent, tmp_path / "dseh_tf"
    room = copy / "retrieval"
    for name in ("files", "retrieval"):
        shutil.copytree(library / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__init__.py", "arrays.py", "errors.py"):
        shutil.copy(library / name, copy)
    (room / "__pycache__").write_text("a file stands where the folder would be made")
    code = "from dseh_tf.retrieval import evaluate; print(evaluate([[1, 1]], [[1, 1], [1, -1]], [3], [5, 3]).map)"
    nowhere = str(room / "__pycache__" / "home")
    assert run(code, tmp_path, HOME=nowhere, XDG_CACHE_HOME=nowhere, NUMBA_CACHE_DIR="") == "0.5"
