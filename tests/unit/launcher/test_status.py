"""One status, in the forms that people and programs read."""

import json
from typing import Any

import pytest
from ruamel import yaml

from services.launcher import status

_ROW = {
    "service": "node", "health": "SERVING", "pid": 7, "uptime": 61.2, "restarts": 0, "address": "127.0.0.1:18000",
    "last_exit": "", "log": "/home/logs/services/node.log",
}  # fmt: skip
_STATUS: dict[str, Any] = {
    "home": "/home", "running": True, "ready": True, "supervisor_pid": 5, "data_address": "127.0.0.1:8888",
    "control_address": "127.0.0.1:8889", "metrics_address": "127.0.0.1:8890", "services": [_ROW],
}  # fmt: skip


def test_a_table_and_a_wide_one() -> None:
    narrow, wide = (status.render(_STATUS, form).splitlines() for form in ("table", "wide"))
    assert narrow[1].split() == ["node", "SERVING", "7", "61s", "0", "127.0.0.1:18000"]
    assert "LOG" not in narrow[0] and wide[0].split()[-2:] == ["LAST_EXIT", "LOG"]
    assert wide[1].split() == [*narrow[1].split(), "-", "/home/logs/services/node.log"]


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_programs_read_all_of_it(form: str) -> None:
    text = status.render(_STATUS, form)
    assert (json.loads(text) if form == "json" else yaml.YAML(typ="safe", pure=True).load(text)) == _STATUS


@pytest.mark.parametrize("form", ["table", "wide"])
def test_no_cluster_is_said_with_the_way_to_one(form: str) -> None:
    said = status.render({"home": "/home", "running": False, "services": []}, form)
    assert said == "no cluster in /home; start one with: cortex up\n"
