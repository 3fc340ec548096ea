"""Files that one program writes and another reads: whole or absent, and read without trust. No TensorFlow here.

Readers raise `InputError` on anything but a whole file of plain arrays or of JSON, whatever its bytes are: nothing is
unpickled, no header is evaluated, and no more memory is taken than the file can fill.
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
