import numpy as np
import scipy.linalg

from dseh_tf.methods.shallow.base import random_stream, signs
from dseh_tf.methods.shallow.itq import ITQ, learn_rotation, random_orthogonal
from tests.methods.toy import clusters


def test_error_falls_at_every_step_and_the_rotation_stays_orthogonal():
    fitted = ITQ(bits=8).fit(clusters())
    errors = np.array(fitted.results["quantisation_error"])
    assert len(errors) == 51 and (np.diff(errors) <= 1e-12).all() and errors[-1] < 0.95 * errors[0]
    np.testing.assert_allclose(fitted.learned["rotation"] @ fitted.learned["rotation"].T, np.eye(8), atol=1e-10)
    np.testing.assert_allclose(fitted.learned["directions"].T @ fitted.learned["directions"], np.eye(8), atol=1e-6)


def test_each_step_is_the_procrustes_solution():
    rng = np.random.default_rng(0)
    values, start = rng.standard_normal((200, 5)) * [3, 2, 1, 1, 0.5], random_orthogonal(rng, 5)
    rotation, _ = learn_rotation(values, start, 1)
    codes = np.where(values @ start >= 0, 1.0, -1.0)
    expected, _ = scipy.linalg.orthogonal_procrustes(values, codes)
    np.testing.assert_allclose(rotation, expected, atol=1e-10)


def test_reported_error_is_that_of_the_final_codes():
    rng = np.random.default_rng(2)
    values = rng.standard_normal((100, 4))
    rotation, errors = learn_rotation(values, random_orthogonal(rng, 4), 7)
    error = 0.0
    for row in values @ rotation:
        error += sum(((1 if v >= 0 else -1) - v) ** 2 for v in row)
    assert abs(errors[-1] - error / 400) < 1e-12


def test_a_tight_frame_is_padding_with_zero_columns():
    """Fewer directions than bits: the same codes as columns of zeros and a square rotation."""
    rng = np.random.default_rng(3)
    values, square = rng.standard_normal((150, 3)), random_orthogonal(rng, 7)
    frame, errors = learn_rotation(values, square[:3], 20)
    padded = np.hstack([values, np.zeros((150, 4))])
    rotation, padded_errors = learn_rotation(padded, square, 20)
    np.testing.assert_allclose(frame @ frame.T, np.eye(3), atol=1e-10)
    np.testing.assert_allclose(errors, padded_errors, atol=1e-9)
    np.testing.assert_array_equal(signs(values @ frame), signs(padded @ rotation))


def test_start_is_uniform_over_rotations_and_seeded():
    first = random_orthogonal(random_stream(1), 6)
    np.testing.assert_allclose(first @ first.T, np.eye(6), atol=1e-12)
    np.testing.assert_array_equal(first, random_orthogonal(random_stream(1), 6))
    assert not np.allclose(first, random_orthogonal(random_stream(2), 6))
