"""dseh_tf: learning to hash with DSEH (IJCAI 2018) and the methods it is measured against.

Importing this package loads no TensorFlow; `dseh_tf.methods`, `dseh_tf.models` and `dseh_tf.training` do.
"""

__version__ = "0.1.0"
