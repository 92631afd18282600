"""`python -m services.node.prepare`: the environment of a project in a folder, without a node.

For `cortex run`: the same builder, the same folder of environments and the same variables as a replica of the node.
Takes `{"spec", "project", "content", "python"}` as JSON on stdin: the resolved spec, the folder, a digest of what it
holds, and an interpreter to use instead of building anything, or "". Answers in JSON lines on stdout: `{"progress"}`
while it builds, then `{"python", "environment", "environ", "config"}` or `{"reason", "message"}`; `config` are the
fields of ReplicaConfig that depend on the machine.
"""

import asyncio
import dataclasses
import json
import os
import pathlib
import sys
from typing import Any

from google.protobuf import json_format

from cortex.node.v1 import node_service_pb2
from services.chassis import settings as loader
from services.node import convert, environments, failures, process, settings


async def prepare(asked: dict[str, Any], chosen: settings.Settings) -> dict[str, Any]:
    request = node_service_pb2.StartReplicaRequest(
        replica_id="run",
        revision="namespaces/default/apis/run/revisions/run",
        bundle=f"namespaces/default/bundles/{asked['content']}",
    )
    json_format.ParseDict(asked["spec"], request.spec)
    wish = convert.wish(request)
    python, environment = asked["python"], ""
    try:
        if not python:
            folder = chosen.folder / "envs"
            venvs = environments.Environments(folder, os.environ, timeout=chosen.build_timeout)
            digest, python = await venvs.prepare(wish, pathlib.Path(asked["project"]), lambda text: _say(progress=text))
            environment = str(folder / digest)
    except failures.PreparationFailed as error:
        return {"reason": error.reason.value, "message": error.message}
    except (OSError, TimeoutError) as error:
        return {
            "reason": "ENVIRONMENT_FAILED",
            "message": f"the environment could not be built: {error or 'timed out'}",
        }
    config = {
        "modelCacheDir": str(chosen.model_cache),
        "modelCacheBytes": str(chosen.model_cache_bytes),
        "tritonHome": chosen.triton,
    }
    environ = process.replica_environment(os.environ, wish)
    return {"python": python, "environment": environment, "environ": environ, "config": config}


def _say(**words: Any) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def main() -> None:
    # It serves nothing and asks nobody for bundles, so what the node requires is no requirement here.
    given = {"CORTEX_LISTEN": "", "CORTEX_APISERVER_ADDRESS": "", **os.environ}
    chosen = loader.load_or_exit(settings.Settings, given, "prepare")
    chosen = dataclasses.replace(chosen, home=chosen.home.expanduser().absolute())
    _say(**asyncio.run(prepare(json.load(sys.stdin), chosen)))


if __name__ == "__main__":
    main()
