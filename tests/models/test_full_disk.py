"""A disk without room, for real: a small tmpfs in a mount namespace of its own, where the system lets us have one."""

import os
import pathlib
import random
import shutil
import subprocess
import sys
import textwrap

import pytest

from tests.fakes import object_store

MIB = 1 << 20
ALONE = ("unshare", "--map-root-user", "--user", "--mount")
SCRIPT = """
    import asyncio, os, pathlib, sys
    from runtime.models import layout
    from runtime.models.catalog import Revision
    from runtime.models.node_store import NodeStore
    from runtime.models.s3 import S3Source
    from runtime.models.shelf import FetchError

    async def main():
        for name in ("a", "b", "c", "large"):
            source = S3Source(f"s3://bucket/{name}", os.environ)
            content = layout.versions(source.files(), "python")["1"]
            store = NodeStore(pathlib.Path(sys.argv[1]), 1 << 40, os.environ)
            try:
                path = await store.fetch(Revision(name, "1", content, source, content.digest), lambda text: None)
                print(name, sum(file.stat().st_size for file in pathlib.Path(path).iterdir()))
            except FetchError as error:
                print(name, error.status, error)
            await store.close()    # its pins end, the files stay
        print(len(list(pathlib.Path(sys.argv[1]).glob("trees/*"))), "trees")

    asyncio.run(main())
"""


def test_a_full_disk_drops_what_nobody_holds_and_then_says_what_is_missing(
    tmp_path: pathlib.Path, store: object_store.Store
) -> None:
    if not shutil.which("unshare") or subprocess.run([*ALONE, "true"], capture_output=True).returncode:
        pytest.skip("this system lets nobody have a mount namespace")
    for name, size in (("a", 8), ("b", 8), ("c", 8), ("large", 30)):
        store.put("bucket", f"{name}/w", random.Random(name).randbytes(size * MIB))
    cache, script = tmp_path / "cache", tmp_path / "script.py"
    cache.mkdir()
    script.write_text(textwrap.dedent(SCRIPT))
    shell = 'mount -t tmpfs -o size=20m none "$1" && exec "$2" "$3" "$1"'
    command = [*ALONE, "sh", "-c", shell, "sh", str(cache), sys.executable, str(script)]
    environ = {**os.environ, **store.environ(), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    said = done.stdout.splitlines()
    assert said[:3] == [f"a {8 * MIB}", f"b {8 * MIB}", f"c {8 * MIB}"], done.stdout + done.stderr
    assert said[3].startswith("large 507 no room for s3://bucket/large: ") and f"{30 * MIB} bytes are needed" in said[3]
    assert f"are free on its disk ({cache})" in said[3]
