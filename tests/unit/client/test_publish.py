"""The published schema and pages are what the code says."""

import json
import pathlib

from cortex_client import version
from cortex_client.cli import manual
from cortex_client.project import publish

ROOT = pathlib.Path(__file__).parents[3]


def test_the_json_schema_is_in_step() -> None:
    published = json.loads((ROOT / "docs" / publish.SCHEMA_FILE).read_text())
    assert published == publish.schema(), "run `python -m cortex_client.project.publish docs`"


def test_the_reference_is_in_step() -> None:
    published = (ROOT / "docs" / publish.REFERENCE_FILE).read_text()
    assert published == publish.reference(), "run `python -m cortex_client.project.publish docs`"


def test_every_heading_of_the_reference_stands_alone() -> None:
    lines = publish.reference().splitlines()
    around = [lines[at - 1 : at + 2 : 2] for at, line in enumerate(lines) if line.startswith("## ")]
    assert len(around) > 5 and all(pair == ["", ""] for pair in around)


def test_the_commands_page_is_in_step() -> None:
    published = (ROOT / "docs/reference/cli.md").read_text()
    assert published == manual.render(), "run `python -m cortex_client.cli.manual docs/reference/cli.md`"


def test_the_schema_refuses_unknown_fields_and_knows_both_names() -> None:
    api = publish.schema()["$defs"]["api"]
    assert api["additionalProperties"] is False
    assert api["properties"]["handler"]["properties"].keys() == api["properties"]["predictor"]["properties"].keys()
    assert api["properties"]["local_port"]["deprecated"] is True


def test_the_version_is_that_of_the_distribution() -> None:
    text = (ROOT / "clients/pyproject.toml").read_text()
    assert f'version = "{version.VERSION}"' in text
