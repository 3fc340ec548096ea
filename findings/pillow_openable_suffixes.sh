#!/usr/bin/env bash
# Pillow: the registered suffixes of formats in Image.OPEN are not the suffixes of the files that Pillow reads.
#
# Packages (Python 3.11): pillow==13.0.0
#
# Behaviour:
#   The usual list of readable suffixes is {s for s, f in Image.registered_extensions().items() if f in Image.OPEN}.
#   It lacks .mpo, the photographs of stereo cameras and some phones: their format is MPO, but the JPEG plugin opens
#   them, so MPO is not in Image.OPEN. It holds .h5 and .mpg, for which Pillow has no decoder. Image.open and verify
#   accept such files, even an HDF5 file of size (0, 0), and only load raises.
#
# Expected:
#   A suffix is in the list exactly if Pillow reads its files.
#
# Seen:
#   photo.mpo: in the list False, opened as MPO (64, 48), loaded True
#   features.h5: in the list True, opened as HDF5 (0, 0), loaded False (cannot find loader for this HDF5 file)
#   film.mpg: in the list True, opened as MPEG (320, 240), loaded False (cannot load this image)
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check pillow==13.0.0
"$work/venv/bin/python" - "$work" <<'PYTHON'
import sys
from pathlib import Path

from PIL import Image

folder = Path(sys.argv[1])
left, right = Image.new("RGB", (64, 48), "red"), Image.new("RGB", (64, 48), "blue")
left.save(folder / "photo.mpo", save_all=True, append_images=[right])
(folder / "features.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))  # the signature decides
(folder / "film.mpg").write_bytes(bytes.fromhex("000001b31400f013") + bytes(100))  # a sequence header: 320 x 240

listed = {suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN}
seen = []
for name in ("photo.mpo", "features.h5", "film.mpg"):
    with Image.open(folder / name) as image:
        image.verify()
    with Image.open(folder / name) as image:
        opened = f"{image.format} {image.size}"
        try:
            image.load()
            loaded, why = True, ""
        except OSError as error:
            loaded, why = False, f" ({error})"
    inside = Path(name).suffix in listed
    seen.append((inside, loaded))
    print(f"{name}: in the list {inside}, opened as {opened}, loaded {loaded}{why}")
if seen != [(False, True), (True, False), (True, False)]:
    sys.exit("the behaviour has changed")
PYTHON
