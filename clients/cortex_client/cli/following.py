"""Waits for a change with its phases on stderr, and tells a failure as soon as a replica reports one."""

from typing import TYPE_CHECKING, Any

from cortex_client import exceptions, names, rollouts
from cortex_client.cli import exits, output

if TYPE_CHECKING:
    from cortex.apiserver.v1 import api_pb2
    from cortex_client.cli.progress import Progress
    from cortex_client.deployment import Deployment


class Follower:
    """Told of every state of the API while a command waits."""

    def __init__(self, deployment: "Deployment", progress: "Progress") -> None:
        self._deployment = deployment
        self._progress = progress
        self._told: set[tuple[str, int]] = set()

    def __call__(self, api: "api_pb2.Api") -> None:
        made = self._deployment
        self._progress.update(rollouts.phases(api, made.generation, made.revision))
        for replica in rollouts.failures(api, made.revision):
            key = (replica.revision, replica.last_failure.reason)
            if key not in self._told:
                self._told.add(key)
                self._progress.say(_failure(replica))

    @property
    def told(self) -> bool:
        """Whether a failure has been shown with its traceback."""
        return bool(self._told)


def _failure(replica: Any) -> str:
    failure = replica.last_failure
    lines = [f"  replica {replica.id}: {rollouts.reason(failure.reason)}"]
    return "\n".join([*lines, *(f"    {line}" for line in failure.message.rstrip().splitlines())])


def wait(deployment: "Deployment", progress: "Progress", timeout: float) -> "api_pb2.Api":
    """Raises what Deployment.wait raises; Ctrl-C says that the change goes on."""
    follower = Follower(deployment, progress)
    try:
        return deployment.wait(timeout, follower)
    except KeyboardInterrupt:
        going_on(deployment.name)
        raise
    except exceptions.RolloutFailed as error:
        if follower.told:
            error.message = f"the rollout of {error.revision} failed: {error.reason}"
        else:
            error.message = f"the rollout of {error.revision} failed: {error.reason}\n{error.message}"
        error.hint = f"correct it and deploy again; more in `cortex logs {error.api} --revision {error.revision}`"
        raise


def tell(error: exceptions.RolloutFailed) -> int:
    """Says what failed and what that means for callers; the exit status."""
    output.note(exits.describe(error))
    if error.serving_revision:
        output.note(f"  {error.serving_revision} still serves: callers of {error.api} notice nothing")
    else:
        output.note(f"  no revision of {error.api} serves")
    return exits.status(error)


def going_on(name: str) -> None:
    output.note()
    output.note(f"the change of {name} goes on; follow it with `cortex get {name} -w`")


def settle(deployment: "Deployment", wait_for_it: bool, timeout: float, form: str) -> int:
    """The end of rollback and refresh: waits if asked, then shows the API."""
    from cortex_client.cli import progress

    if wait_for_it:
        with progress.Progress(live=progress.wanted()) as phases:
            try:
                wait(deployment, phases, timeout)
            except exceptions.RolloutFailed as error:
                failed: exceptions.RolloutFailed | None = error
            else:
                failed = None
        if failed is not None:
            return tell(failed)
    show(deployment.api, form)
    return 0


def show(api: "api_pb2.Api", form: str) -> None:
    """The API after a write: one word per API as a table, the whole of it as data."""
    revision = names.last(api.status.target_revision)
    output.emit(
        form,
        lambda: output.to_data(api),
        lambda: [names.last(api.name)],
        lambda wide: f"{names.last(api.name)}  {revision}  {output.status(rollouts.summary(api))}",
    )
