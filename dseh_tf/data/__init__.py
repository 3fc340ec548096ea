"""Data sets as training, query and database rows. Importing this package loads no TensorFlow."""

from dseh_tf.data.catalog import DATASETS, DataOptions, load, protocol_of
from dseh_tf.data.images import ArrayImages, FileImages
from dseh_tf.data.retrieval_dataset import RetrievalDataset
from dseh_tf.data.split import Split

__all__ = ["DATASETS", "ArrayImages", "DataOptions", "FileImages", "RetrievalDataset", "Split", "load", "protocol_of"]
