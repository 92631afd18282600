"""`cortex run`: a project served from its folder while it is being written."""

import asyncio
import pathlib

import click


@click.command()
@click.argument("source", type=click.Path(path_type=pathlib.Path), default=".")
@click.option("--name", default="", help="Which API of the file.  [default: its only one]")
@click.option("--port", type=click.IntRange(0, 65535), default=8888, show_default=True, help="For HTTP and gRPC.")
@click.option("--grpc-port", type=click.IntRange(1, 65535), help="One more port, for gRPC only.")
@click.option(
    "--reload/--no-reload", default=True, show_default=True, help="Load the project anew when a file changes."
)
@click.option("--debug", is_flag=True, help="One worker with one thread, and no time limits.")
@click.option(
    "--here", is_flag=True, help="Use the Python environment you are in instead of building the project's own."
)
def run(
    source: pathlib.Path, name: str, port: int, grpc_port: int | None, reload: bool, debug: bool, here: bool
) -> int:
    """Serve one project from its folder, without the platform.

    SOURCE is the folder or its cortex.yaml. Loader, environment and runtime are those of a deploy; the API answers at
    `/` and at its endpoint. On a change the project is loaded anew, and the version before answers until the new one is
    ready; one that does not load is told with its traceback. At a terminal `breakpoint()` opens the debugger in it, and
    requests have no time limit. PYTHONBREAKPOINT chooses another debugger.
    """
    import os

    from cortex_client.running import loop, plan, terminal

    options = loop.Options(
        file=plan.locate(source),
        name=name,
        port=port,
        grpc_port=grpc_port,
        reload=reload,
        debug=debug,
        here=plan.interpreter(os.environ) if here else "",
        terminal=terminal.path(),
    )
    return asyncio.run(loop.serve(options))
