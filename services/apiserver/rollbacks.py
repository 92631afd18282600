"""Where a rollback goes to."""

from services.apiserver import changes, errors, model, ports
from services.apiserver import revisions as content

_PAGE = 100


async def find(store: ports.StorePort, api: model.Api, revision_id: str) -> model.Revision:
    """The named revision; without a name the one that serves while another is tried or has failed, else the newest
    that served before the one that is wanted."""
    if revision_id:
        return await store.get_revision(api.name, revision_id)
    if api.serving_revision:
        serving = await store.get_revision(api.name, api.serving_revision)
        # After a failed rollout the target is back already, and the spec still says what failed.
        differs = content.content_digest(api.spec) != serving.content_digest
        if api.serving_revision != api.target_revision or differs or changes.update_failed(api):
            return serving
    return await _retired(store, api)


async def _retired(store: ports.StorePort, api: model.Api) -> model.Revision:
    before = (await store.get_revision(api.name, api.target_revision)).number
    while page := await store.list_revisions(api.name, before, _PAGE):
        for revision in page:
            if revision.state is model.RevisionState.RETIRED:
                return revision
        before = page[-1].number
    raise errors.NoPreviousRevision(
        f"{api.name} has no revision before {api.target_revision} that served; name the one you mean, or deploy",
        metadata={"name": api.name},
    )
