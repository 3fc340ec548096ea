"""The accepted forms of arrays, codes and labels, and a clear error for every other form.

All public functions that take codes or labels read them with the functions in this module, so that each form means the
same everywhere:

- Codes: uint8 means packed, [n, ceil(bits / 8)]. A signed or floating type means ±1, [n, bits]; so do lists.
- Labels: one dimension means class ids, [n]. A matrix of 0 and 1 means multi-hot, [n, classes]. One column of whole
  numbers, [n, 1], also means class ids: keras.datasets and scikit-learn's LabelBinarizer return them in this form, and
  with a multi-hot matrix of one class every labelled pair would be similar.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from dseh_tf.errors import InputError, brief, whole

_SCALED_BELOW = 2.0**-50  # of float32: squares of smaller numbers may vanish,
_SCALED_ABOVE = 2.0**50  # and sums of squares of larger ones overflow


def shown(array: np.ndarray) -> str:
    """Dtype and shape of an array, for messages."""
    return f"{array.dtype} {list(array.shape)}"


def as_array(values: Any, field: str) -> np.ndarray:
    """A plain array of anything that numpy can read.

    Raises InputError, naming `field`, on rows of different lengths, on masked values and on sparse matrices: numpy
    would ignore the mask, and turn a sparse matrix into an object array.
    """
    if type(values) is np.ndarray:  # at once: a search takes microseconds
        return values
    if _has_masked(values):
        raise InputError(f"{field}: found masked values, expected an array without a mask")
    if hasattr(values, "toarray") or hasattr(values, "todense"):
        raise InputError(
            f"{field}: found a sparse matrix ({type(values).__name__}), expected a dense array: .toarray()"
        )
    try:
        return np.asarray(values)
    except (ValueError, TypeError, OverflowError, RuntimeError):
        if isinstance(values, (list, tuple)):
            raise InputError(f"{field}: found lists that do not form an array, expected rows of equal length") from None
        raise InputError(f"{field}: found {type(values).__name__}, expected an array") from None


def _has_masked(values: Any) -> bool:
    if isinstance(values, np.ma.MaskedArray):
        return bool(np.ma.getmaskarray(values).any())
    return isinstance(values, (list, tuple)) and any(map(_has_masked, values))


def as_real(values: Any, field: str) -> np.ndarray:
    """`as_array` of real numbers: integers, or a floating type. Raises InputError, naming `field`, on any other kind."""
    array = as_array(values, field)
    if array.dtype.kind not in "iuf":
        raise InputError(f"{field}: found {shown(array)}, expected real numbers")
    return array


def as_texts(values: Any, field: str) -> np.ndarray:
    """Like `as_array`, but an object array of strings (as pandas makes) becomes a string array.

    Raises InputError on strings mixed with anything else, which numpy would silently turn into strings.
    """
    array = as_array(values, field)
    if array.dtype.kind == "T" or (array.dtype.kind == "O" and array.ndim):
        items: Iterable[Any] = array.ravel().tolist()
    elif array.dtype.kind == "U" and isinstance(values, (list, tuple)) and array.ndim == 1:
        items = values
    else:
        return array
    for item in items:
        if not isinstance(item, str):
            raise InputError(f"{field}: found {brief(item)} among strings, expected strings only, or numbers only")
    return array.astype(str)


def as_packed(codes: Any, bits: int | None, field: str) -> tuple[np.ndarray, int]:
    """(packed uint8 [n, ceil(K / 8)], K) from ±1 codes [n, K], or from packed ones with `bits` = K.

    Raises InputError, naming `field`, on a different type or shape, a value that is not ±1, or a padding bit that is set.
    """
    codes = as_array(codes, field)
    packed = codes.dtype == np.uint8
    if codes.ndim != 2 or codes.shape[1] == 0 or not (packed or codes.dtype.kind in "if"):
        raise InputError(
            f"{field}: found {shown(codes)}, expected int8 ±1 [n, bits] or packed uint8 [n, ceil(bits / 8)]"
        )
    if bits is not None:
        bits = whole(bits, "bits", 1)
    if not packed:
        if bits is not None and codes.shape[1] != bits:
            raise InputError(f"{field}: found codes of {codes.shape[1]} bits, expected {bits}")
        wrong = np.abs(codes) != 1
        if wrong.any():
            raise InputError(f"{field}: found the value {codes[wrong][0]}, expected -1 or 1 (packed codes are uint8)")
        return np.packbits(codes > 0, axis=1, bitorder="little"), codes.shape[1]
    if bits is None:
        raise InputError(f"{field}: found packed codes (uint8) without their number of bits, expected bits=K")
    if codes.shape[1] != -(-bits // 8):
        raise InputError(f"{field}: found {codes.shape[1]} bytes per code, expected {-(-bits // 8)} for {bits} bits")
    if bits % 8 and (codes[:, -1] >> (bits % 8)).any():
        raise InputError(f"{field}: found a padding bit that is set, expected zeros after bit {bits - 1}")
    return codes, bits


def as_labels(labels: Any, field: str) -> np.ndarray:
    """Class ids, integers [n], or multi-hot uint8 [n, classes] of 0 and 1; a column [n, 1] of whole numbers is ids.

    Raises InputError, naming `field`, on other shapes and kinds, a negative id, or a matrix with another value.
    """
    array = as_array(labels, field)
    if array.ndim == 2 and array.shape[1] == 1 and array.dtype.kind in "iu":
        array = array[:, 0]
    if array.ndim == 2 and array.dtype.kind in "biuf" and array.shape[1] > 1:
        if array.dtype == np.uint8:  # the usual type, checked without a temporary array of its size
            fits = not array.size or array.max() <= 1
        else:
            fits = array.dtype == bool or ((array == 0) | (array == 1)).all()
        if not fits:
            raise InputError(f"{field}: found the value {array[(array != 0) & (array != 1)][0]}, expected 0 or 1")
        return array.astype(np.uint8, copy=False)
    if array.ndim == 1 and array.dtype.kind in "iu":
        if len(array) and array.min() < 0:
            raise InputError(f"{field}: found the class id {array.min()}, expected 0 or above")
        if array.dtype == np.uint64:  # compared with int64, numpy converts both to floats, which have 53 bits
            if len(array) and array.max() > np.iinfo(np.int64).max:
                raise InputError(f"{field}: found the class id {array.max()}, expected at most 2^63 - 1")
            array = array.astype(np.int64)
        return array
    raise InputError(f"{field}: found {shown(array)}, expected multi-hot [n, classes] or class ids [n]")


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Rows [n, d] of a floating type divided by their length; a row of zeros stays.

    Rows whose squares would overflow or vanish are first scaled by a power of two, which changes no digit of the result.
    """
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0)
    if ((largest > _SCALED_ABOVE) | (largest < _SCALED_BELOW)).any():
        rows = np.ldexp(rows, -np.frexp(largest)[1])
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: np.ndarray = rows / np.where(norms > 0, norms, 1)
    return unit
