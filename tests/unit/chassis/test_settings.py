import dataclasses
import os
import pathlib
import subprocess
import sys

import pytest

from services.chassis import settings


@dataclasses.dataclass(frozen=True)
class Example:
    listen: str
    home: pathlib.Path = pathlib.Path("/nowhere")
    workers: int = 4
    grace: float = 1.5
    color: bool = False


def test_variables_are_read_and_typed() -> None:
    environ = {"CORTEX_LISTEN": "127.0.0.1:1", "CORTEX_HOME": "~/x", "CORTEX_WORKERS": "2", "CORTEX_COLOR": "yes"}
    loaded = settings.load(Example, environ)
    assert loaded == Example("127.0.0.1:1", pathlib.Path("~/x").expanduser(), 2, 1.5, True)


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(settings.SettingsError, match=r"CORTEX_LISTEN is not set; CORTEX_WORKERS='many'"):
        settings.load(Example, {"CORTEX_WORKERS": "many"})


def test_a_boolean_is_not_guessed() -> None:
    with pytest.raises(settings.SettingsError, match="expected true or false"):
        settings.load(Example, {"CORTEX_LISTEN": "x", "CORTEX_COLOR": "perhaps"})


_WRONG = {
    "apiserver": "MAX_BUNDLE_BYTES",
    "autoscaler": "AUTOSCALER_INTERVAL",
    "logstream": "LOGSTREAM_THREADS",
    "monitor": "MONITOR_MOST_REPLICAS",
    "node": "CACHE_BYTES",
}


def test_every_service_says_in_one_line_what_is_wrong(tmp_path: pathlib.Path) -> None:
    environ = {**os.environ, "CORTEX_HOME": str(tmp_path), "CORTEX_LISTEN": "127.0.0.1:0"}
    environ["CORTEX_APISERVER_ADDRESS"] = "127.0.0.1:1"
    started = {
        name: subprocess.Popen(
            [sys.executable, "-m", f"services.{name}"],
            env={**environ, f"CORTEX_{variable}": "many"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, variable in _WRONG.items()
    }
    for name, process in started.items():
        said = process.communicate(timeout=60)[1]
        assert process.returncode == 1 and len(said.splitlines()) == 1, said
        assert said.startswith(f"{name}: CORTEX_{_WRONG[name]}='many'"), said
