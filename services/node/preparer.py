"""PreparerPort on this machine: the bundle first, then the environment it asks for."""

import pathlib

from services.node import bundles, environments, failures, model, ports


class Preparer:
    def __init__(self, files: bundles.Store, venvs: environments.Environments) -> None:
        self._files = files
        self._venvs = venvs

    async def prepare(self, wish: model.Wish, tell: ports.Tell) -> model.Prepared:
        project = await self._files.prepare(wish.bundle, lambda words: tell(model.Progress.BUNDLE, words))
        tell(model.Progress.ENVIRONMENT, "preparing the environment")
        digest, python = await self._environment(wish, project, tell)
        return model.Prepared(project_dir=str(project), python=python, environment=digest)

    async def _environment(self, wish: model.Wish, project: pathlib.Path, tell: ports.Tell) -> tuple[str, str]:
        try:
            return await self._venvs.prepare(wish, project, lambda words: tell(model.Progress.ENVIRONMENT, words))
        except (OSError, TimeoutError) as error:
            # A full disk, a read-only one, a lock that never came free.
            raise failures.PreparationFailed(
                model.Reason.ENVIRONMENT_FAILED, f"the environment could not be built: {error or 'timed out'}"
            ) from error
