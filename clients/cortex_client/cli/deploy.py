"""`cortex deploy`: from a folder to a URL, with every phase told as it happens."""

import pathlib
import shlex
from typing import TYPE_CHECKING

import click

from cortex_client import exceptions
from cortex_client.cli import options, output

if TYPE_CHECKING:
    from cortex_client.cli.progress import Progress
    from cortex_client.client import Client
    from cortex_client.deploying import Prepared
    from cortex_client.deployment import Deployment


@click.command()
@click.argument("file", type=click.Path(path_type=pathlib.Path), default="cortex.yaml")
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@options.wait_option
@options.timeout_option
@options.yes_option
@options.output_option
@options.connected
def deploy(
    client: "Client", file: pathlib.Path, dry_run: bool, wait: bool, timeout: float, yes: bool, output: str
) -> int:
    """Deploy the APIs of a cortex.yaml.

    FILE is the file or its folder; its folder is the project.
    """
    from cortex_client.cli import progress

    if dry_run:
        return _plan(client, file, output)
    with progress.Progress(live=progress.wanted()) as phases:
        phases.running("bundle")
        made = _send(client, file, phases, yes)
        failed = _wait(made, phases, timeout) if wait else None
    if failed is not None:
        from cortex_client.cli import following

        return following.tell(failed)
    _show(made, file, output, routed=wait)
    return 0


def _send(client: "Client", file: pathlib.Path, phases: "Progress", yes: bool) -> "list[Deployment]":
    from cortex_client import deploying, upload
    from cortex_client.project.quantities import format_bytes, format_files

    with deploying.prepare(file) as prepared:
        bundle = prepared.bundle
        phases.done("bundle", f"{format_files(bundle.file_count)}, {format_bytes(bundle.size)}")
        _check_size(prepared, phases, yes)
        phases.running("upload")

        def sent(done: int, total: int) -> None:
            phases.running("upload", f"{format_bytes(done)} of {format_bytes(total)}")

        uploaded = upload.ensure(client.transport, client.namespace, bundle, progress=sent if bundle.is_large else None)
        phases.done("upload", format_bytes(bundle.size) if uploaded else "already there")
        for loaded in prepared.apis:
            for text in loaded.spec.not_in_effect:
                phases.say(click.style("note: ", fg="yellow") + f"{loaded.name}: {text}")
        return [client.apply(loaded, prepared) for loaded in prepared.apis]


def _check_size(prepared: "Prepared", phases: "Progress", yes: bool) -> None:
    from cortex_client.project.quantities import format_bytes, format_files

    bundle = prepared.bundle
    if not bundle.is_large:
        return
    text = f"the project holds {format_files(bundle.file_count)}, {format_bytes(bundle.content_bytes)}"
    if yes or not output.interactive():
        phases.say(f"note: {text}; list what to leave out in .cortexignore")
    else:
        with phases.paused():
            click.confirm(f"{text}. Deploy all of it?", abort=True, err=True)


def _wait(made: "list[Deployment]", phases: "Progress", timeout: float) -> exceptions.RolloutFailed | None:
    from cortex_client.cli import following

    for deployment in made:
        if len(made) > 1:
            phases.section(deployment.name)
        try:
            following.wait(deployment, phases, timeout)
        except exceptions.RolloutFailed as error:
            return error
    return None


def _show(made: "list[Deployment]", file: pathlib.Path, form: str, *, routed: bool) -> None:
    """The URL on stdout; a command to try it on stderr."""
    from cortex_client import names

    apis = [deployment.api for deployment in made]
    output.emit(
        form,
        lambda: {"apis": [output.to_data(api) for api in apis]},
        lambda: [names.last(api.name) for api in apis],
        lambda wide: "\n".join(api.status.url or names.last(api.name) for api in apis),
    )
    if form not in ("table", "wide"):
        return
    folder = file if file.is_dir() else file.parent
    for deployment in made:
        if deployment.url and routed:
            output.note(command(deployment, folder))
        elif not routed:
            output.note(f"{deployment.name} is on its way; follow it with `cortex get {deployment.name} -w`")


def grpcurl(deployment: "Deployment") -> str:
    """For a service of the API's own, which JSON cannot call: a command that tells what it offers."""
    import urllib.parse

    from cortex_client import names

    address = urllib.parse.urlsplit(deployment.url).netloc
    namespace = names.namespace_of(deployment.api.name)
    name = deployment.name if namespace == names.DEFAULT_NAMESPACE else f"{namespace}/{deployment.name}"
    return f"grpcurl -plaintext -H {shlex.quote(f'cortex-api: {name}')} {shlex.quote(address)} list"


def command(deployment: "Deployment", folder: pathlib.Path) -> str:
    """To paste: the payload is the project's sample.json where there is one. A model repository tells of its models."""
    from cortex.apiserver.v1 import spec_pb2

    if deployment.api.spec.predictor.type == spec_pb2.PREDICTOR_TYPE_TRITON:
        return f"curl {shlex.quote(deployment.url + '/v2/models/stats')}"
    sample = folder / "sample.json"
    if deployment.api.spec.predictor.protobuf_path and not sample.is_file():
        return grpcurl(deployment)
    data = f"@{sample}" if sample.is_file() else "{}"
    return f"curl {shlex.quote(deployment.url)} -H 'content-type: application/json' -d {shlex.quote(data)}"


def _plan(client: "Client", file: pathlib.Path, form: str) -> int:
    from cortex_client.cli import plans

    answers = client.plan(file)
    output.emit(
        form,
        lambda: {"plans": [plans.to_data(answer) for answer in answers]},
        lambda: [answer.api.name.rpartition("/")[2] for answer in answers],
        lambda wide: "\n\n".join(plans.render(answer) for answer in answers),
    )
    return 0
