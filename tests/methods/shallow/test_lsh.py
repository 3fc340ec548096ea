import numpy as np

from dseh_tf.methods.shallow.lsh import LSH
from tests.methods.toy import clusters


def test_share_of_differing_bits_is_the_angle():
    """Two rows at angle t differ in a bit with probability t / pi."""
    data = clusters()
    bits = 20_000
    codes = LSH(bits=bits).fit(data).encode(data.query).astype(int)
    train = data.train.features / np.linalg.norm(data.train.features, axis=1, keepdims=True)
    x = data.query.features / np.linalg.norm(data.query.features, axis=1, keepdims=True) - train.mean(axis=0)
    for i, j in [(0, 1), (2, 30), (5, 41), (17, 18)]:
        angle = np.arccos(x[i] @ x[j] / np.linalg.norm(x[i]) / np.linalg.norm(x[j]))
        assert abs(np.mean(codes[i] != codes[j]) - angle / np.pi) < 4 * 0.5 / np.sqrt(bits)


def test_directions_come_from_the_seed_alone():
    first, same, other = (LSH(bits=8, seed=s).fit(clusters(seed=d)) for s, d in ((3, 0), (3, 1), (4, 0)))
    np.testing.assert_array_equal(first.learned["directions"], same.learned["directions"])
    assert not np.allclose(first.learned["directions"], other.learned["directions"])
    assert abs(LSH(bits=2000).fit(clusters()).learned["directions"].std() - 1) < 0.02
