"""All forms in which a test hands over codes, labels and numbers, each with what it means, or None where it means nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse


class Arraylike:
    """What pandas and torch have in common: no array, but it makes one."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self.array if dtype is None else self.array.astype(dtype)


def bits_set(codes: np.ndarray) -> np.ndarray:
    """uint8 [n, ceil(K / 8)], by plain arithmetic."""
    out = np.zeros((len(codes), -(-codes.shape[1] // 8)), np.uint8)
    for i, k in np.argwhere(codes == 1):
        out[i, k // 8] += 2 ** (k % 8)
    return out


def changed(array: np.ndarray, value) -> np.ndarray:
    """A copy whose last entry is another."""
    out = array.copy()
    out[(-1,) * out.ndim] = value
    return out


def masked(array: np.ndarray) -> np.ma.MaskedArray:
    mask = np.zeros(array.shape, bool)
    mask[(0,) * array.ndim] = True
    return np.ma.array(array, mask=mask)


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


# ±1 codes int8 [n, K] to a form. The good ones mean the codes.
GOOD_CODES: dict[str, Callable[[np.ndarray], object]] = {
    **{
        t: (lambda c, t=t: c.astype(t))
        for t in ("int8", "int16", "int32", "int64", "float16", "float32", "float64", "longdouble")
    },
    "swapped bytes": lambda c: c.astype(">i4"),
    "list": lambda c: c.tolist(),
    "tuple of rows": lambda c: tuple(c.astype(float)),
    "fortran": lambda c: np.asfortranarray(c),
    "every second": lambda c: np.repeat(c, 2, axis=1)[:, ::2],
    "read only": read_only,
    "memory backwards": lambda c: c[::-1, ::-1].copy()[::-1, ::-1],
    "arraylike": Arraylike,
    "mask of nothing": lambda c: np.ma.array(c),
}
PACKED: dict[str, Callable[[np.ndarray], object]] = {
    "packed": bits_set,
    "packed, fortran": lambda c: np.asfortranarray(bits_set(c)),
    "packed, read only": lambda c: read_only(bits_set(c)),
    "packed arraylike": lambda c: Arraylike(bits_set(c)),
}
BAD_CODES: dict[str, Callable[[np.ndarray], object]] = {
    "zero": lambda c: changed(c, 0),
    "half": lambda c: changed(c.astype(float), 0.5),
    "nearly one": lambda c: changed(c.astype(float), 1 + 1e-9),
    "nan": lambda c: changed(c.astype(np.float32), np.nan),
    "infinite": lambda c: changed(c.astype(np.float32), -np.inf),
    "least int8": lambda c: changed(c, -128),
    "bits 0 and 1": lambda c: changed((c + 1) // 2, 0),
    "bool": lambda c: c > 0,
    "uint16": lambda c: np.ones_like(c, np.uint16),
    "uint64": lambda c: np.ones_like(c, np.uint64),
    "complex": lambda c: c.astype(complex),
    "object": lambda c: c.astype(object),
    "strings": lambda c: c.astype(str),
    "masked": masked,
    "masked row in a list": lambda c: [masked(c[0]), *c[1:]],
    "sparse": lambda c: scipy.sparse.csr_matrix(c),
    "sparse array": lambda c: scipy.sparse.coo_array(c),
    "one row alone": lambda c: c[0],
    "three dimensions": lambda c: c[None],
    "no column": lambda c: c[:, :0],
    "ragged": lambda c: [*c.tolist(), [1] * (c.shape[1] + 1)],
    "one number": lambda c: 1,
    "none": lambda c: None,
    "generator": lambda c: (row for row in c),
    "dict": lambda c: {"codes": c},
    "list of bytes": lambda c: [[7] * c.shape[1]] * len(c),
}

# int64 ids [n] to a form. Good ones mean the ids.
GOOD_IDS: dict[str, Callable[[np.ndarray], object]] = {
    **{t: (lambda y, t=t: y.astype(t)) for t in ("int8", "int16", "int64", "uint8", "uint32", "uint64")},
    "list": lambda y: y.tolist(),
    "column": lambda y: y[:, None],
    "column uint8": lambda y: y[:, None].astype(np.uint8),
    "column of lists": lambda y: y[:, None].tolist(),
    "every second": lambda y: np.repeat(y, 2)[::2],
    "read only": read_only,
    "arraylike": Arraylike,
    "mask of nothing": lambda y: np.ma.array(y),
}
# uint8 0/1 [n, c], c > 1, to a form. Good ones mean the columns.
GOOD_HOT: dict[str, Callable[[np.ndarray], object]] = {
    **{t: (lambda y, t=t: y.astype(t)) for t in ("uint8", "bool", "int8", "int64", "float16", "float64")},
    "list": lambda y: y.tolist(),
    "fortran": lambda y: np.asfortranarray(y),
    "read only": read_only,
    "arraylike": Arraylike,
    "mask of nothing": lambda y: np.ma.array(y),
}
BAD_LABELS: dict[str, Callable[[np.ndarray], object]] = {
    "negative id": lambda y: changed(y, -1),
    "float ids": lambda y: y.astype(float),
    "ids of 2^64": lambda y: changed(y.astype(np.uint64), 2**64 - 1),
    "float column": lambda y: y[:, None].astype(float),
    "bool column": lambda y: y[:, None] > 0,
    "bool ids": lambda y: y > 0,
    "names": lambda y: np.array([f"class {i}" for i in y]),
    "masked ids": masked,
    "masked column": lambda y: masked(y[:, None]),
    "masked matrix": lambda y: masked(np.eye(9)[y]),
    "sparse matrix": lambda y: scipy.sparse.csr_matrix(np.eye(9)[y]),
    "two in a matrix": lambda y: changed(np.eye(9)[y], 2),
    "half in a matrix": lambda y: changed(np.eye(9)[y], 0.5),
    "nan in a matrix": lambda y: changed(np.eye(9)[y], np.nan),
    "minus one in a matrix": lambda y: changed(np.eye(9, dtype=np.int8)[y], -1),
    "no column": lambda y: np.zeros((len(y), 0), np.uint8),
    "three dimensions": lambda y: np.eye(9)[y][None],
    "object": lambda y: y.astype(object),
    "a row too many": lambda y: np.append(y, 0),
    "lists of labels": lambda y: [[0]] * (len(y) - 1) + [[0, 1]] if len(y) > 1 else [[]],
    "none": lambda y: None,
    "one number": lambda y: 3,
}

# Whole numbers of at least 1, by value; and what is none.
GOOD_NUMBERS: dict[str, Callable[[int], object]] = {
    "int": int,
    "int64": np.int64,
    "uint8": np.uint8,
    "array of no dimension": np.array,
}
BAD_NUMBERS: dict[str, Callable[[int], object]] = {
    "half": lambda k: k + 0.5,
    "float": float,
    "float64": np.float64,
    "nan": lambda k: float("nan"),
    "string": str,
    "bool": lambda k: True,
    "numpy bool": lambda k: np.True_,
    "negative": lambda k: -k,
    "zero": lambda k: 0,
    "list": lambda k: [k],
    "array": lambda k: np.array([k]),
    "complex": complex,
}
