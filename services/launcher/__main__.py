"""python -m services.launcher up|down|status|run: a whole cluster on one machine."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

from services.launcher import commands, layout


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cortex-launcher", description="Runs a Cortex cluster on this machine.")
    actions = parser.add_subparsers(dest="action", required=True)
    for name, words in (("up", "start it in the background"), ("run", "run it in the foreground")):
        starter = actions.add_parser(name, help=words)
        starter.add_argument("--data-port", type=int, help="port of the prediction endpoints (8888)")
        starter.add_argument("--control-port", type=int, help="port of the control plane (8889)")
        if name == "up":
            starter.add_argument("--timeout", type=float, default=60.0, help="seconds to wait until it is ready")
    for name, words in (("down", "stop it, replicas included"), ("drain-replicas", argparse.SUPPRESS)):
        ender = actions.add_parser(name, help=words)
        ender.add_argument("--timeout", type=float, default=30.0, help="seconds replicas may take to finish")
    status = actions.add_parser("status", help="show every process")
    forms = ("table", "wide", "json", "yaml")
    status.add_argument("-o", "--output", choices=forms, default="table", help="wide: with last exits and logs")
    for name, words in (("stop-service", "keep one service down"), ("start-service", "let it up again")):
        actions.add_parser(name, help=words).add_argument("service")
    for name in ("supervise", "render-gateway"):
        actions.add_parser(name, help=argparse.SUPPRESS)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    try:
        sys.exit(_do(_parser().parse_args(arguments)))
    except commands.CommandFailed as error:
        commands.say(f"error: {error}")
        sys.exit(1)
    except OSError as error:
        commands.say(f"error: {error.strerror}: {error.filename}; CORTEX_HOME says where the cluster keeps its files")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _do(given: argparse.Namespace) -> int:
    environ, where = dict(os.environ), layout.Layout.of(os.environ)
    match given.action:
        case "up":
            ports = {"data_port": given.data_port, "control_port": given.control_port}
            commands.up(where, environ, timeout=given.timeout, **ports)
        case "run":
            commands.run(where, environ, data_port=given.data_port, control_port=given.control_port)
        case "down":
            commands.down(where, environ, timeout=given.timeout)
        case "supervise":
            commands.supervise(where, environ)
        case "stop-service" | "start-service":
            commands.set_service(where, given.service, down=given.action == "stop-service")
        case _:
            return _rarely(given, where, environ)
    return 0


def _rarely(given: argparse.Namespace, where: layout.Layout, environ: dict[str, str]) -> int:
    """Actions with heavier imports, so that the others do not pay for them."""
    if given.action == "status":
        from services.launcher import status

        text, code = status.show(where, environ, given.output)
        sys.stdout.write(text)
        return code
    if given.action == "render-gateway":
        from services.launcher import rendering

        rendering.render(where, environ)
        return 0
    from services.launcher import replicas

    left = asyncio.run(replicas.drain(environ["CORTEX_NODE_ADDRESS"], given.timeout))
    for name in left:
        commands.say(f"not drained: {name}")
    return 1 if left else 0


if __name__ == "__main__":
    main()
