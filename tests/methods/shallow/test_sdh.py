import numpy as np
import pytest

from dseh_tf.methods.shallow.sdh import SDH, descend_codes, ridge_solution
from tests.methods.toy import clusters


@pytest.fixture(params=[False, True], ids=["single", "several"])
def fit(request):
    data = clusters(several=request.param)
    method = SDH(bits=8, anchors=50, width=0.7, code_penalty=0.05)
    return data, method.settings, method.fit(data)


def test_objective_falls_and_is_that_of_the_final_blocks(fit):
    data, cfg, fitted = fit
    trace = fitted.results["objective"]
    assert len(trace) == 6 and (np.diff(trace) <= 1e-9).all() and trace[-1] < 0.9 * trace[0]
    y, b, w, p = (
        data.train.labels,
        fitted.learned["codes"],
        fitted.learned["label_weights"],
        fitted.learned["kernel_weights"],
    )
    naive = sum(np.sum((y[i] - b[i] @ w) ** 2) for i in range(len(y))) + cfg.label_ridge * np.sum(w**2)
    code_error = sum(np.sum((b[i] - fitted.learned["phi"][i] @ p) ** 2) for i in range(len(y)))
    naive += cfg.code_penalty * (code_error + cfg.kernel_ridge * np.sum(p**2))
    assert abs(trace[-1] - naive) < 1e-6 * naive


def test_weights_solve_their_own_problems(fit):
    """Stacked least squares, another way to the ridge solutions of both W and P."""
    data, cfg, fitted = fit
    b, y = fitted.learned["codes"].astype(float), data.train.labels.astype(float)
    for inputs, targets, ridge, found in (
        (b, y, cfg.label_ridge, fitted.learned["label_weights"]),
        (fitted.learned["phi"], b, cfg.kernel_ridge, fitted.learned["kernel_weights"]),
    ):
        stacked = np.vstack([inputs, np.sqrt(ridge) * np.eye(inputs.shape[1])])
        padded = np.vstack([targets, np.zeros((inputs.shape[1], targets.shape[1]))])
        np.testing.assert_allclose(found, np.linalg.lstsq(stacked, padded, rcond=None)[0], atol=1e-8)


def test_codes_solve_their_own_problem():
    """After enough sweeps no single flip of any bit of any row lowers the objective in B."""
    rng = np.random.default_rng(0)
    y, w, extra = (rng.random((40, 5)) < 0.3).astype(float), rng.standard_normal((6, 5)), rng.standard_normal((40, 6))
    wanted = y @ w.T + 0.1 * extra
    start = rng.choice([-1.0, 1.0], (40, 6))

    def objective(b):
        return np.sum((y - b @ w) ** 2) + 0.1 * np.sum((b - extra) ** 2)

    values = [objective(descend_codes(start, w, wanted, sweeps)) for sweeps in range(8)]
    assert (np.diff(values) <= 1e-9).all() and values[-1] < values[0]
    codes = descend_codes(start, w, wanted, 100)
    best = objective(codes)
    for i in range(40):
        for k in range(6):
            flipped = codes.copy()
            flipped[i, k] *= -1
            assert objective(flipped) >= best - 1e-9


def test_ridge_is_stationary():
    rng = np.random.default_rng(0)
    inputs, targets = rng.standard_normal((30, 4)), rng.standard_normal((30, 2))
    w = ridge_solution(inputs, targets, 0.7)
    np.testing.assert_allclose(inputs.T @ (inputs @ w - targets) + 0.7 * w, 0, atol=1e-10)
