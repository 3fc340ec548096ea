"""Writing files atomically, and reading them defensively. Does not import TensorFlow.

Readers raise `InputError` for anything other than a complete file of plain arrays or JSON, whatever its bytes are.
Nothing is unpickled, no header is evaluated as code, and no more memory is allocated than the file can fill.
"""

from dseh_tf.files.npz import Header, mapped, npz_headers, read_npz, release
from dseh_tf.files.read import check_regular, irregular, read_json
from dseh_tf.files.shards import MANIFEST, ShardFolder, ShardWriter, open_shards
from dseh_tf.files.write import PARTIAL, json_text, replacing, write_json, write_npz, write_text, writing

__all__ = [
    "MANIFEST",
    "PARTIAL",
    "Header",
    "ShardFolder",
    "ShardWriter",
    "check_regular",
    "irregular",
    "json_text",
    "mapped",
    "npz_headers",
    "open_shards",
    "read_json",
    "read_npz",
    "release",
    "replacing",
    "write_json",
    "write_npz",
    "write_text",
    "writing",
]
