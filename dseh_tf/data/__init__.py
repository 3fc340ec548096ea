"""Data sets as training, query and database rows. Importing this room loads no TensorFlow."""

from dseh_tf.data.retrieval_dataset import ArrayImages, FileImages, RetrievalDataset, Split

__all__ = ["ArrayImages", "FileImages", "RetrievalDataset", "Split"]
