"""dseh_tf: learning to hash with DSEH (IJCAI 2018) and the methods it is compared with.

Importing this package loads no TensorFlow; `dseh_tf.methods`, `dseh_tf.models` and `dseh_tf.training` do.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dseh_tf.encoding import load_run

__all__ = ["__version__", "load_run"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`load_run` when it is first asked for, so that importing the package imports nothing else."""
    if name == "load_run":
        from dseh_tf.encoding import load_run

        return load_run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
