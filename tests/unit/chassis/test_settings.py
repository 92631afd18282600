import dataclasses
import pathlib

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
