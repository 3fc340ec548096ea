import numpy as np
from scipy.spatial.distance import cdist

from dseh_tf.methods.shallow.kernels import (
    LabelSimilarity,
    blockwise_squared_distances,
    choose_anchors,
    ksh_loss,
    labelled_subset,
    squared_distances,
)
from tests.methods.toy import clusters, dense_similarity


def test_distances_are_those_of_scipy():
    rng = np.random.default_rng(0)
    x, anchors = rng.standard_normal((50, 7)).astype(np.float32), rng.standard_normal((9, 7))
    np.testing.assert_allclose(squared_distances(x, anchors), cdist(x, anchors, "sqeuclidean"), atol=1e-10)
    np.testing.assert_allclose(blockwise_squared_distances(x, anchors), squared_distances(x, anchors))
    assert (np.diag(squared_distances(x, x)) >= 0).all()


def test_similarity_acts_as_the_dense_matrix():
    labels = clusters(rows=60, several=True).train.labels.copy()
    labels[5] = 0  # a row without labels is similar to nothing, itself included
    dense, similarity = dense_similarity(labels), LabelSimilarity(labels)
    v = np.random.default_rng(0).standard_normal((60, 3))
    assert len(similarity.distinct) < 60
    np.testing.assert_allclose(similarity @ v, dense @ v, atol=1e-4)
    np.testing.assert_allclose(similarity @ v[:, 0], dense @ v[:, 0], atol=1e-4)
    np.testing.assert_allclose(similarity.quadratic(v), v.T @ dense @ v, atol=1e-3)


def test_ksh_loss_is_the_mean_over_pairs():
    labels = clusters(rows=40, several=True).train.labels
    codes = np.random.default_rng(0).choice([-1, 1], (40, 5))
    dense = dense_similarity(labels)
    naive = np.mean([(dense[i, j] - codes[i] @ codes[j] / 5) ** 2 for i in range(40) for j in range(40)])
    assert abs(ksh_loss(LabelSimilarity(labels), codes) - naive) < 1e-6


def test_draws_are_rows_without_repetition():
    x = np.arange(20.0)[:, None]
    assert len(np.unique(choose_anchors(x, 12, np.random.default_rng(0)))) == 12
    np.testing.assert_array_equal(choose_anchors(x, 100, np.random.default_rng(0)), x)
    labels = np.ones((20, 1), np.uint8)
    np.testing.assert_array_equal(labelled_subset(labels, 20, np.random.default_rng(0)), np.arange(20))
    assert len(np.unique(labelled_subset(labels, 8, np.random.default_rng(0)))) == 8
