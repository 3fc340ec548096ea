"""The registry of methods, a plain dict. Add a class to it to add a method; `find` also accepts classes from
elsewhere."""

from __future__ import annotations

import importlib

from dseh_tf.errors import InputError
from dseh_tf.methods.asymmetric.adsh import ADSH
from dseh_tf.methods.asymmetric.daph import DAPH
from dseh_tf.methods.asymmetric.dsah import DSAH
from dseh_tf.methods.base import Fitted, Method
from dseh_tf.methods.cross_modal.djsrh import DJSRH
from dseh_tf.methods.cross_modal.ssah import SSAH
from dseh_tf.methods.deep.cnnh import CNNH
from dseh_tf.methods.deep.csq import CSQ
from dseh_tf.methods.deep.dhn import DHN
from dseh_tf.methods.deep.dnnh import DNNH
from dseh_tf.methods.deep.dpn import DPN
from dseh_tf.methods.deep.dpsh import DPSH
from dseh_tf.methods.deep.greedyhash import GreedyHash
from dseh_tf.methods.deep.hashnet import HashNet
from dseh_tf.methods.deep.orthohash import OrthoHash
from dseh_tf.methods.dseh.dseh import DSEH
from dseh_tf.methods.dseh.variants import DSEHA, DSEHL, DSEHS, DSEHSS
from dseh_tf.methods.shallow.fasth import FastH
from dseh_tf.methods.shallow.itq import ITQ
from dseh_tf.methods.shallow.itq_cca import ITQCCA
from dseh_tf.methods.shallow.ksh import KSH
from dseh_tf.methods.shallow.lsh import LSH
from dseh_tf.methods.shallow.sdh import SDH
from dseh_tf.methods.shallow.sh import SH

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        LSH, SH, ITQ, ITQCCA, KSH, SDH, FastH, CNNH, DNNH, DPSH, DHN, HashNet, GreedyHash, CSQ, DPN, OrthoHash,
        ADSH, DAPH, DSAH, DSEH, DSEHS, DSEHSS, DSEHL, DSEHA, DJSRH, SSAH,
    )
}  # fmt: skip


def find(name: str) -> type[Method]:
    """The method called `name` in METHODS, or the class of "package.module:Class", which is imported.

    Raises InputError if the class does not exist or is not a Method.
    """
    module, colon, attribute = name.partition(":")
    if not colon:
        if name not in METHODS:
            raise InputError(f"method: found {name!r}, expected one of {', '.join(METHODS)}, or package.module:Class")
        return METHODS[name]
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"method: {name}: {error}, expected an importable package.module:Class") from error
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise InputError(f"method: {name}: found {found!r}, expected a subclass of dseh_tf.methods.Method")
    return found


__all__ = ["METHODS", "Fitted", "Method", "find"]
