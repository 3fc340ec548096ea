"""The format of a run folder. No TensorFlow here."""

from dseh_tf.runs.schema import read_config, read_map, read_result

__all__ = ["read_config", "read_map", "read_result"]
