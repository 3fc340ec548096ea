"""The package versions and the machine of this process, as `config.json` records them."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "tensorflow",
    "keras",
    "tensorflow-datasets",
    "numpy",
    "scipy",
    "scikit-learn",
    "numba",
    "pillow",
    "dseh_tf",
)


def environment() -> dict[str, Any]:
    """Returns `python`, `versions` by package, `git_commit` (empty outside of a checkout) and `machine`."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "versions": versions,
        "git_commit": git_commit(Path(__file__).parents[2]),
        "machine": {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
    }


def git_commit(checkout: Path) -> str:
    """The commit of a checkout. Empty if the folder is not the top of one, or if there is no git.

    An installed package may lie in the checkout of another project, whose commit says nothing about this one.
    """
    command = ["git", "-C", str(checkout), "rev-parse", "--show-toplevel", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    except OSError:  # no git on this machine
        return ""
    return found[1] if len(found) == 2 and Path(found[0]) == checkout.resolve() else ""
