"""Where a client finds its platform: named environments in the user's configuration, and `local` from `cortex up`.

The file is `$XDG_CONFIG_HOME/cortex/config.yaml` (default ~/.config), mode 0600. What wins: an explicit name, then
CORTEX_ENVIRONMENT, then the file's default, then `local`.
"""

import dataclasses
import json
import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

from cortex_client import exceptions

LOCAL = "local"


@dataclasses.dataclass(frozen=True, slots=True)
class Environment:
    """`address` is host:port of a gateway's control listener."""

    name: str
    address: str
    namespace: str = "default"
    tls: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Registry:
    """The user's environments as read from the file; `default` may be empty."""

    path: pathlib.Path
    default: str
    environments: Mapping[str, Environment]

    def with_environment(self, environment: Environment) -> "Registry":
        return dataclasses.replace(self, environments={**self.environments, environment.name: environment})

    def without(self, name: str) -> "Registry":
        if name not in self.environments:
            raise _unknown(name, self)
        kept = {key: value for key, value in self.environments.items() if key != name}
        return dataclasses.replace(self, environments=kept, default="" if self.default == name else self.default)

    def with_default(self, name: str) -> "Registry":
        if name != LOCAL and name not in self.environments:
            raise _unknown(name, self)
        return dataclasses.replace(self, default=name)

    def save(self) -> None:
        """Replaces the file as a whole, readable by its owner only."""
        from ruamel import yaml

        records = {
            name: {"address": e.address, "namespace": e.namespace, "tls": e.tls}
            for name, e in self.environments.items()
        }
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=self.path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            yaml.YAML(typ="safe", pure=True).dump({"default": self.default, "environments": records}, stream)
        pathlib.Path(temporary).replace(self.path)


def load(environ: Mapping[str, str]) -> Registry:
    base = environ.get("XDG_CONFIG_HOME") or str(pathlib.Path(environ.get("HOME", "~")).expanduser() / ".config")
    path = pathlib.Path(base) / "cortex" / "config.yaml"
    if not path.exists():
        return Registry(path, "", {})
    from ruamel import yaml

    try:
        data = yaml.YAML(typ="safe", pure=True).load(path.read_text("utf-8")) or {}
        records = {name: _environment(name, record) for name, record in (data.get("environments") or {}).items()}
        return Registry(path, str(data.get("default") or ""), records)
    except (yaml.error.YAMLError, OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise exceptions.EnvironmentInvalid(
            f"{path} cannot be used: {error}", hint="correct it, or remove it and run `cortex env configure`"
        ) from None


def _environment(name: str, record: Mapping[str, Any]) -> Environment:
    return Environment(name, str(record["address"]), str(record.get("namespace") or "default"), bool(record.get("tls")))


def resolve(environ: Mapping[str, str], name: str | None = None) -> Environment:
    """The environment to talk to. Raises EnvironmentInvalid."""
    name = name or environ.get("CORTEX_ENVIRONMENT") or ""
    registry = load(environ)
    name = name or registry.default or LOCAL
    if name in registry.environments:
        return registry.environments[name]
    if name == LOCAL:
        return local(environ)
    raise _unknown(name, registry)


def local(environ: Mapping[str, str]) -> Environment:
    """The platform that `cortex up` started on this machine. Raises Unavailable when there is none."""
    path = cluster_file(environ)
    try:
        address = json.loads(path.read_text("utf-8"))["control_address"]
    except FileNotFoundError:
        raise exceptions.Unavailable(
            f"no local platform: {path} does not exist", hint="start it with `cortex up`, or name another with -e"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise exceptions.EnvironmentInvalid(f"{path} cannot be used: {error}", hint="run `cortex up` again") from None
    return Environment(LOCAL, str(address))


def cluster_file(environ: Mapping[str, str]) -> pathlib.Path:
    home = environ.get("CORTEX_HOME") or str(pathlib.Path(environ.get("HOME", "~")).expanduser() / ".cortex")
    return pathlib.Path(home) / "cluster.json"


def _unknown(name: str, registry: Registry) -> exceptions.EnvironmentInvalid:
    known = ", ".join(sorted({LOCAL, *registry.environments}))
    hint = f"known: {known}; add one with `cortex env configure {name} --address HOST:PORT`"
    return exceptions.EnvironmentInvalid(f"there is no environment {name!r}", hint=hint)
