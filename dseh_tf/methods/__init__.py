"""The methods by name. A plain dict: add a class to it to add a method."""

from __future__ import annotations

from dseh_tf.methods.base import Fitted, Method
from dseh_tf.methods.dseh import DSEH

METHODS: dict[str, type[Method]] = {
    DSEH.name: DSEH,
}

__all__ = ["METHODS", "Fitted", "Method"]
