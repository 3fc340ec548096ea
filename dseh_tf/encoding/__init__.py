"""Images or features to codes: encoders that are saved and loaded, and a run folder's encoder. No TensorFlow until it is used."""

from dseh_tf.encoding.run_encoder import RunEncoder, load_encoder, load_run

__all__ = ["RunEncoder", "load_encoder", "load_run"]
