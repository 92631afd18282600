"""Entry of a replica: `python -m runtime --config replica.json`."""

import argparse
import contextlib
import os
import pathlib
import resource
import sys

import uvloop

from runtime import config, guard, logs


async def _run(settings: config.Settings, log: logs.LogFile, watch: guard.Guard) -> int:
    from runtime import front

    return await front.Replica(settings, log, watch).run()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m runtime", description="Serve one replica of an API.")
    parser.add_argument("--config", required=True, type=pathlib.Path, help="ReplicaConfig as JSON")
    settings = config.load(parser.parse_args().config)
    # The workers are started by vfork, which needs no help from gRPC, and its fork handlers only get in the way.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    with contextlib.suppress(OSError, ValueError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    watch = guard.Guard()
    log = logs.LogFile(settings.log_file, settings.log_level)
    try:
        status: int = uvloop.run(_run(settings, log, watch))
        return status
    except OSError as error:
        log.say("error", f"the replica cannot run: {error}")
        print(f"runtime: {error}", file=sys.stderr)  # noqa: T201  # the node keeps stderr
        return 1
    finally:
        log.close()
        watch.close()


if __name__ == "__main__":
    sys.exit(main())
