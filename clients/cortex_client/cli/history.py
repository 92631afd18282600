"""`cortex history`."""

from typing import TYPE_CHECKING

import click

from cortex_client import names
from cortex_client.cli import options, output

if TYPE_CHECKING:
    from cortex.apiserver.v1 import revision_pb2
    from cortex_client.client import Client


@click.command()
@options.api_argument
@options.output_option
@options.connected
def history(client: "Client", api: str, output: str) -> None:
    """List the revisions of an API."""
    _emit(client.history(api), output)


def _emit(found: "list[revision_pb2.Revision]", form: str) -> None:
    output.emit(
        form,
        lambda: {"revisions": [output.to_data(revision) for revision in found]},
        lambda: [names.last(revision.name) for revision in found],
        lambda wide: _table(found, wide),
    )


def _table(found: "list[revision_pb2.Revision]", wide: bool) -> str:
    from cortex.apiserver.v1 import revision_pb2
    from cortex_client import rollouts

    rows = []
    for revision in found:
        state = revision_pb2.RevisionState.Name(revision.state).removeprefix("REVISION_STATE_").lower()
        cause = revision_pb2.RevisionCause.Name(revision.cause).removeprefix("REVISION_CAUSE_").lower()
        reason = rollouts.reason(revision.reason) if revision.reason else "-"
        cells = [names.last(revision.name), state, cause, output.age(revision.create_time), reason]
        rows.append(cells + ([revision.content_digest, revision.spec.bundle_digest] if wide else []))
    headers = ["REVISION", "STATE", "CAUSE", "AGE", "REASON"] + (["CONTENT", "BUNDLE"] if wide else [])
    return output.table(headers, rows)
