"""Named environments: precedence, the file's mode, and errors that say what to do."""

import json
import pathlib
import stat

import pytest

from cortex_client import environments, exceptions
from cortex_client.environments import Environment


@pytest.fixture
def environ(tmp_path: pathlib.Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path / "config"), "CORTEX_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)}


def test_what_wins(environ: dict[str, str], tmp_path: pathlib.Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "cluster.json").write_text(json.dumps({"control_address": "127.0.0.1:8889"}))
    assert environments.resolve(environ) == Environment("local", "127.0.0.1:8889")
    registry = environments.load(environ).with_environment(Environment("prod", "p:1", "team", True))
    registry.with_environment(Environment("test", "t:1")).with_default("prod").save()
    assert environments.resolve(environ) == Environment("prod", "p:1", "team", True)
    assert environments.resolve({**environ, "CORTEX_ENVIRONMENT": "test"}).name == "test"
    assert environments.resolve({**environ, "CORTEX_ENVIRONMENT": "test"}, "local").address == "127.0.0.1:8889"


def test_the_file_is_for_its_owner_only(environ: dict[str, str]) -> None:
    registry = environments.load(environ).with_environment(Environment("prod", "p:1"))
    registry.save()
    assert stat.S_IMODE(registry.path.stat().st_mode) == 0o600
    assert list(registry.path.parent.iterdir()) == [registry.path]


def test_deleting_the_default_leaves_none(environ: dict[str, str]) -> None:
    registry = environments.load(environ).with_environment(Environment("prod", "p:1")).with_default("prod")
    assert registry.without("prod").default == ""


def test_no_platform_here(environ: dict[str, str]) -> None:
    with pytest.raises(exceptions.Unavailable, match="no local platform") as caught:
        environments.resolve(environ)
    assert "cortex up" in caught.value.hint


def test_an_unknown_name_lists_the_known(environ: dict[str, str]) -> None:
    with pytest.raises(exceptions.EnvironmentInvalid) as caught:
        environments.resolve(environ, "prd")
    assert "known: local" in caught.value.hint


@pytest.mark.parametrize("text", ["[1]", "environments: {a: {}}", "a: b: c", "environments: {a: 1}"])
def test_a_broken_file_is_named(environ: dict[str, str], tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "config" / "cortex" / "config.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(exceptions.EnvironmentInvalid, match=r"config\.yaml cannot be used"):
        environments.load(environ)


def test_a_broken_cluster_file_is_named(environ: dict[str, str], tmp_path: pathlib.Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "cluster.json").write_text("{}")
    with pytest.raises(exceptions.EnvironmentInvalid, match=r"cluster\.json cannot be used"):
        environments.resolve(environ)
