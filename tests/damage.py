"""Damage to files for property tests: bytes flipped, set, cut, put in, taken out, repeated or exchanged; odd JSON."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st


def examples(usual: int) -> settings:
    """HYPOTHESIS_EXAMPLES sets the number of examples of a long run."""
    return settings(
        max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", usual)),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


WAYS = ("flip", "set", "cut", "put", "take", "repeat", "exchange", "number")


def damaged(data: st.DataObject, whole: bytes, other: bytes = b"") -> bytes:
    """`whole` after one to four changes; `other` is what a part may be exchanged with."""
    for _ in range(data.draw(st.integers(1, 4))):
        place = st.integers(0, max(len(whole) - 1, 0))
        at, how = data.draw(place), data.draw(st.sampled_from(WAYS))
        size = data.draw(st.sampled_from([1, 2, 4, 8, 30, 200]))
        if how == "flip" and whole:
            whole = whole[:at] + bytes([whole[at] ^ 1 << data.draw(st.integers(0, 7))]) + whole[at + 1 :]
        elif how == "set":
            whole = whole[:at] + data.draw(st.binary(min_size=1, max_size=8)) + whole[at + 8 :]
        elif how == "cut":
            whole = whole[:at] if data.draw(st.booleans()) else whole[at:]
        elif how == "put":
            whole = whole[:at] + data.draw(st.binary(min_size=1, max_size=16)) + whole[at:]
        elif how == "take":
            whole = whole[:at] + whole[at + size :]
        elif how == "repeat":
            whole = whole[:at] + whole[at : at + size] * 2 + whole[at + size :]
        elif how == "exchange":
            whole = whole[:at] + other[at : at + size] + whole[at + size :]
        elif how == "number":
            odd = data.draw(st.sampled_from([0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]))
            whole = whole[:at] + odd.to_bytes(4, "little") + whole[at + 4 :]
    return whole


ODD_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.integers(-2, 40),
        st.floats(allow_nan=True, allow_infinity=True),
        st.text(max_size=6),
        st.sampled_from(["12", "0.5", "NaN", "/", "..", "\x00", "<b>", "\ud800", "labnet", "train"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=4,
)


def odd_json(data: st.DataObject, value: dict) -> dict:
    """A JSON object in which one field, at any depth, is another value, gone or new."""
    value = dict(value)
    names = [*value, "map_at", "code_health", "trunk", "n_train", "train_seconds"]
    name = data.draw(st.sampled_from(names))
    if isinstance(value.get(name), dict) and value[name] and data.draw(st.booleans()):
        value[name] = odd_json(data, value[name])
    elif name in value and data.draw(st.integers(0, 4)) == 0:
        del value[name]
    else:
        value[name] = data.draw(ODD_VALUES)
    return value
