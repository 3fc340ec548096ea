import numpy as np
import pytest
import scipy.linalg

from dseh_tf.methods.shallow.kernels import LabelSimilarity
from dseh_tf.methods.shallow.ksh import KSH, fit_bits, refine_projection
from tests.methods.toy import clusters, dense_similarity


@pytest.mark.parametrize("several", [False, True])
def test_objective_falls_and_is_the_residual_of_the_codes(several):
    data = clusters(several=several)
    fitted = KSH(bits=8, anchors=60).fit(data)
    trace = fitted.results["objective"]
    assert len(trace) == 9 and trace[0] == 1 and (np.diff(trace) < 0).all()
    codes = fitted.encode(data.train).astype(float)
    residual = 8 * dense_similarity(data.train.labels) - codes @ codes.T
    assert abs(trace[-1] - np.sum(residual**2) / (8 * len(codes)) ** 2) < 1e-6


def test_first_start_is_the_generalised_eigenvector():
    """With no refinement the first projection is the top eigenvector of (Phi^T K S Phi, Phi^T Phi), scaled to sqrt(n)."""
    data = clusters(rows=80)
    phi = np.random.default_rng(0).standard_normal((80, 6))
    dense = dense_similarity(data.train.labels)
    projections, _, refined = fit_bits(phi, LabelSimilarity(data.train.labels), 3, 0, 0.0)
    top = scipy.linalg.eigh(phi.T @ dense @ phi, phi.T @ phi)[1][:, -1]
    assert refined == 0
    assert abs(np.linalg.norm(phi @ projections[:, 0]) - np.sqrt(80)) < 1e-5
    cosine = top @ projections[:, 0] / np.linalg.norm(top) / np.linalg.norm(projections[:, 0])
    assert abs(abs(cosine) - 1) < 1e-5


def test_refinement_lowers_the_surrogate_to_a_stationary_point():
    rng = np.random.default_rng(0)
    phi, dense = rng.standard_normal((60, 4)), dense_similarity(clusters(rows=60).train.labels)
    start = 0.1 * rng.standard_normal(4)
    best, costs = refine_projection(phi, lambda v: dense @ v, start, 40, 1e-9)

    def surrogate(a):
        y = np.tanh(phi @ a / 2)
        return -y @ dense @ y

    assert abs(costs[0] - surrogate(start) / 60) < 1e-9 and abs(costs[-1] - surrogate(best) / 60) < 1e-9
    assert costs[-1] < costs[0]
    longer, _ = refine_projection(phi, lambda v: dense @ v, start, 400, 1e-9)
    assert surrogate(longer) <= surrogate(best) + 1e-6


def test_refinement_steps_along_the_gradient():
    """One step from the start: its direction against central differences of the surrogate."""
    rng = np.random.default_rng(1)
    phi, dense = rng.standard_normal((30, 3)), dense_similarity(clusters(rows=30).train.labels)
    start = 0.1 * rng.standard_normal(3)
    stepped, _ = refine_projection(phi, lambda v: dense @ v, start, 1, 0.0)

    def surrogate(a):
        y = np.tanh(phi @ a / 2)
        return -y @ dense @ y

    slope = np.array([(surrogate(start + h) - surrogate(start - h)) / 2e-5 for h in 1e-5 * np.eye(3)])
    moved = stepped - start
    assert abs(moved @ -slope / np.linalg.norm(moved) / np.linalg.norm(slope) - 1) < 1e-6


def test_more_rows_than_the_objective_takes_is_said():
    fitted = KSH(bits=4, anchors=20, labelled=100, iterations=5).fit(clusters())
    assert fitted.results["notes"] == ["100 of 240 training rows, drawn at random, make up the pairwise objective"]
