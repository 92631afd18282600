"""Entry of a replica: `python -m runtime --config replica.json`."""

import contextlib
import os
import sys

from runtime import guard


def main(watch: guard.Guard) -> int:
    # Here and not above, so that the guard is a copy of next to nothing.
    import gc
    import pathlib
    import resource

    gc.disable()  # modules are made to stay: collections among them take time and free nothing

    from runtime import config, head_start
    from runtime.shim import parent

    path, pid = arguments(sys.argv[1:])
    if pid:
        parent.end_with(pid)
    settings = config.load(pathlib.Path(path))
    # The workers are started by vfork, which needs no help from gRPC, and its fork handlers only get in the way.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    with contextlib.suppress(OSError, ValueError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    running = head_start.begin(settings, watch)

    # The heavy ones come only now, as the fork server imports meanwhile.
    import uvloop

    from runtime import front, logs

    log = logs.LogFile(settings.log_file, settings.log_level)
    service = None
    if settings.protobuf_path:
        from runtime import user_service

        settings, service = user_service.prepare(settings)
    # What is imported stays: no collection need look at it again.
    gc.freeze()
    gc.enable()

    async def run() -> int:
        return await front.Replica(settings, log, watch, service, running).run()

    try:
        status: int = uvloop.run(run())
        return status
    except OSError as error:
        log.say("error", f"the replica cannot run: {error}")
        print(f"runtime: {error}", file=sys.stderr)  # noqa: T201  # the node keeps stderr
        return 1
    finally:
        log.close()
        watch.close()


def arguments(given: list[str]) -> tuple[str, int]:
    """The file, and the process to end with, 0 for none. Programs tell them; argparse takes longer than it is worth."""
    told = dict(zip(given[::2], given[1::2], strict=False))
    if len(given) % 2 or "--config" not in told or not told.keys() <= {"--config", "--parent"}:
        sys.exit("usage: python -m runtime --config FILE [--parent PID], where FILE is a ReplicaConfig as JSON")
    return told["--config"], int(told.get("--parent", 0))


if __name__ == "__main__":
    sys.exit(main(guard.Guard()))
