import itertools

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from dseh_tf.encoding.trees import tree_sums
from dseh_tf.methods.shallow.fasth import FastH, infer_bit, leading_signs, similar_blocks, solve_block, tree_arrays
from dseh_tf.methods.shallow.kernels import LabelSimilarity, ksh_loss
from tests.methods.toy import clusters, dense_similarity


@pytest.mark.parametrize("several", [False, True])
def test_inferred_codes_beat_random_ones_and_trees_fit_them(several):
    data = clusters(several=several)
    fitted = FastH(bits=8, rounds=60).fit(data)
    similarity = LabelSimilarity(data.train.labels)
    random = np.random.default_rng(0).choice([-1, 1], fitted.learned["inferred"].shape)
    assert ksh_loss(similarity, fitted.learned["inferred"]) < 0.7 * ksh_loss(similarity, random)
    assert min(fitted.results["tree_accuracy"]) > 0.95
    trained = fitted.encode(data.train)
    np.testing.assert_allclose(np.mean(trained == fitted.learned["inferred"], axis=0), fitted.results["tree_accuracy"])


def test_objective_falls_and_is_that_of_the_codes():
    data = clusters(several=True)
    fitted = FastH(bits=6, rounds=40).fit(data)
    trace = fitted.results["objective"]
    assert (np.diff(trace) < 0).all()
    assert abs(trace[-1] - ksh_loss(LabelSimilarity(data.train.labels), fitted.encode(data.train))) < 1e-6


def test_blocks_cover_all_rows_and_are_mutually_similar():
    labels = clusters(several=True).train.labels.copy()
    labels[9] = 0
    blocks = similar_blocks(labels, 30, np.random.default_rng(0))
    dense = dense_similarity(labels)
    assert set(np.concatenate(blocks)) == set(range(len(labels)))
    assert all(len(b) <= 30 and (len(b) == 1 or (dense[np.ix_(b, b)] == 1).all()) for b in blocks)


@pytest.mark.parametrize("seed", range(20))
def test_a_block_that_both_ends_agree_on_is_solved_exactly(seed):
    """Against all 2^8 assignments; never below where the block stood."""
    rng = np.random.default_rng(seed)
    coupling = rng.random((8, 8)) * rng.choice([0.1, 0.5, 2.0])
    coupling = np.triu(coupling, 1) + np.triu(coupling, 1).T
    outside, current = 2 * rng.standard_normal(8), rng.choice([-1.0, 1.0], 8)

    def value(z):
        return outside @ z + z @ coupling @ z / 2

    found, exact = solve_block(coupling, outside, current)
    best = max(value(np.array(z)) for z in itertools.product([-1.0, 1.0], repeat=8))
    assert value(found) >= value(current)
    if exact:
        assert abs(value(found) - best) < 1e-9
    assert value(found) > 0.8 * best


@pytest.mark.parametrize("done_bits", [0, 3])
def test_inference_raises_the_residual_form_and_settles(done_bits):
    """z^T (K S - Z Z^T) z on a dense residual, sweep by sweep; at the end no single flip raises it."""
    labels = clusters(rows=80, several=True).train.labels.copy()
    labels[4] = 0
    rng = np.random.default_rng(0)
    done = rng.choice([-1.0, 1.0], (80, done_bits))
    residual = 5 * dense_similarity(labels) - done @ done.T
    similarity, blocks = LabelSimilarity(labels), similar_blocks(labels, 25, rng)
    start = rng.choice([-1.0, 1.0], 80)
    values = [start @ residual @ start]
    for sweeps in (1, 2, 3, 30):
        z, share = infer_bit(similarity, done, 5, start, blocks, sweeps)
        values.append(z @ residual @ z)
        assert 0 <= share <= 1
    assert (np.diff(values) >= -1e-6).all() and values[1] > values[0]
    for i in range(80):
        flipped = z.copy()
        flipped[i] *= -1
        assert flipped @ residual @ flipped <= values[-1] + 1e-6


def test_start_is_the_leading_eigenvector():
    labels = clusters(rows=80).train.labels
    done = np.random.default_rng(0).choice([-1.0, 1.0], (80, 2))
    residual = 6 * dense_similarity(labels) - done @ done.T
    top = np.linalg.eigh(residual)[1][:, -1]
    found = leading_signs(LabelSimilarity(labels), done, 6, np.random.default_rng(1))
    assert abs(np.mean(found * np.sign(top))) > 0.9


def test_one_label_for_all_gives_constant_bits():
    """All rows alike: every bit is one sign and needs no trees."""
    data = clusters()
    data.train.labels[:] = [1, 0, 0, 0]
    codes = FastH(bits=3, rounds=3).fit(data).encode(data.query)
    assert (codes == codes[0]).all()


def test_the_encoder_adds_the_trees_as_scikit_learn_does():
    """Bit for bit; a bit that is constant in training has no tree."""
    rng = np.random.default_rng(3)
    inputs = rng.integers(0, 255, (300, 4)).astype(np.float32)
    trees = []
    for rounds, depth in ((1, 1), (30, 3)):
        model = HistGradientBoostingClassifier(max_iter=rounds, max_depth=depth, early_stopping=False)
        trees.append(
            model.fit(inputs, np.where(inputs[:, 0] + 40 * rng.standard_normal(300) > inputs[:, 1], 1.0, -1.0))
        )
    arrays = tree_arrays([trees[0], -1.0, trees[1]])
    found = tree_sums(inputs, **arrays)
    for column, tree in ((0, trees[0]), (2, trees[1])):
        np.testing.assert_array_equal(found[:, column], tree.decision_function(inputs))
    assert (found[:, 1] == -1).all() and len(np.unique(found[:, 2])) > 20
