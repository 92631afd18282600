"""A model repository as Triton lays it out on disk: a folder per model, a numbered folder per version, config.pbtxt."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from runtime.triton import model_config

_CONFIG = "config.pbtxt"


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from: a folder for each version, and what the user configured.

    `beside` is what lies beside these folders by its name, such as labels, inputs to warm up with and tokenizers.
    """

    name: str
    versions: Mapping[int, pathlib.Path]
    config: Mapping[str, Any]
    beside: Mapping[str, pathlib.Path] = dataclasses.field(default_factory=dict)

    @property
    def serving(self) -> tuple[int, ...]:
        return model_config.serving_versions(self.config, tuple(sorted(self.versions)))


@dataclasses.dataclass(frozen=True, slots=True)
class Broken:
    """A folder that cannot be served as a model, and why."""

    name: str
    reason: str


def scan(root: pathlib.Path, config_name: str = "") -> tuple[list[Source], list[Broken]]:
    """All models below `root`. `config_name` picks `configs/NAME.pbtxt` where a model has one."""
    sources: list[Source] = []
    broken: list[Broken] = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))):
        try:
            sources.append(read(folder, config_name))
        except (model_config.Invalid, OSError) as error:
            broken.append(Broken(folder.name, str(error)))
    return sources, broken


def read(folder: pathlib.Path, config_name: str = "") -> Source:
    """The model in `folder`. Raises model_config.Invalid."""
    paths = list(folder.iterdir())
    versions = {int(path.name): path for path in paths if path.is_dir() and is_number(path.name) and int(path.name) > 0}
    beside = {
        path.name: path
        for path in paths
        if path.name != _CONFIG and not path.name.startswith(".") and not is_number(path.name)
    }
    chosen = folder / "configs" / f"{config_name}.pbtxt"
    path = chosen if config_name and chosen.is_file() else folder / _CONFIG
    config = model_config.parse(path.read_text(), str(path)) if path.is_file() else {}
    if not versions:
        raise model_config.Invalid(f"{folder} has no version: put the model's files into {folder / '1'}")
    return Source(folder.name, versions, config, beside)


def is_number(text: str) -> bool:
    """Whether int() takes it for what it looks like; str.isdigit() alone holds for \u00b2, too."""
    return text.isascii() and text.isdigit() and len(text) <= 18


def lay_out(source: Source, root: pathlib.Path, config: Mapping[str, Any] | None = None) -> None:
    """Makes the model's folder in Triton's repository show exactly what `source` has, by links, and `config`."""
    folder = root / source.name
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {**source.beside, **{str(version): path for version, path in source.versions.items()}}
    for entry in folder.iterdir():
        if entry.name not in wanted or entry.resolve() != wanted[entry.name].resolve():
            entry.unlink()
    for name, path in wanted.items():
        if not (folder / name).is_symlink():  # one may lead nowhere, where files are being removed
            (folder / name).symlink_to(path.resolve(), target_is_directory=True)
    if config is not None:
        (folder / _CONFIG).write_text(model_config.to_text(config))
