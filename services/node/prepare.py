"""`python -m services.node.prepare`: the environment of a project in a folder, without a node.

For `cortex run`: the same builder, the same folder of environments and the same variables as a replica of the node.
Takes `{"spec", "project", "content", "python"}` as JSON on stdin: the resolved spec, the folder, a digest of what it
holds, and an interpreter to use instead of building anything, or "". Answers in JSON lines on stdout: `{"progress"}`
while it builds, then `{"python", "environment", "environ", "model_cache"}` or `{"reason", "message"}`.
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
from services.node import convert, environments, failures, process


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Of the node's settings those that matter here, under the same names."""

    home: pathlib.Path = dataclasses.field(default_factory=lambda: pathlib.Path.home() / ".cortex")
    build_timeout: float = 1800.0


async def prepare(asked: dict[str, Any], chosen: Settings) -> dict[str, Any]:
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
            venvs = environments.Environments(chosen.home / "node/envs", os.environ, timeout=chosen.build_timeout)
            digest, python = await venvs.prepare(wish, pathlib.Path(asked["project"]), lambda text: _say(progress=text))
            environment = str(chosen.home / "node/envs" / digest)
    except failures.PreparationFailed as error:
        return {"reason": error.reason.value, "message": error.message}
    except (OSError, TimeoutError) as error:
        return {
            "reason": "ENVIRONMENT_FAILED",
            "message": f"the environment could not be built: {error or 'timed out'}",
        }
    environ = process.replica_environment(os.environ, wish)
    cache = str(chosen.home / "node/models")
    return {"python": python, "environment": environment, "environ": environ, "model_cache": cache}


def _say(**words: Any) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def main() -> None:
    chosen = loader.load_or_exit(Settings, os.environ, "prepare")
    _say(**asyncio.run(prepare(json.load(sys.stdin), chosen)))


if __name__ == "__main__":
    main()
