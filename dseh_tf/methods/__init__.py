"""The methods by name. A plain dict: add a class to it to add a method."""

from __future__ import annotations

from dseh_tf.methods.base import Fitted, Method
from dseh_tf.methods.dseh import DSEH
from dseh_tf.methods.fasth import FastH
from dseh_tf.methods.itq import ITQ
from dseh_tf.methods.itq_cca import ITQCCA
from dseh_tf.methods.ksh import KSH
from dseh_tf.methods.lsh import LSH
from dseh_tf.methods.sdh import SDH
from dseh_tf.methods.sh import SH

METHODS: dict[str, type[Method]] = {method.name: method for method in (LSH, SH, ITQ, ITQCCA, KSH, SDH, FastH, DSEH)}

__all__ = ["METHODS", "Fitted", "Method"]
