"""The gRPC service of a project, as the endpoint of its API."""

import pathlib

import pytest

from cortex_client.project import loader, protos


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('syntax = "proto3"; package shop.v1; service Texts {}', "shop.v1.Texts"),
        ("service Texts\n{ rpc A(B) returns (C); } message B {}", "Texts"),
        (
            '// package no; service No {\n/* service No {} */ package a;\noption x = "service No {"; service Yes {}',
            "a.Yes",
        ),
        ("package a; message B { string service = 1; }", None),
        ("package a; service B {} service C {}", None),
        ("\x00 nonsense", None),
    ],
)
def test_the_service_of_a_file(text: str, name: str | None) -> None:
    assert protos.service(text) == name


def test_the_endpoint_of_an_api_with_a_service(tmp_path: pathlib.Path) -> None:
    (tmp_path / "predictor.py").write_text("")
    (tmp_path / "texts.proto").write_text("package shop;\nservice Texts {}")
    document = {
        "name": "texts",
        "kind": "RealtimeAPI",
        "predictor": {"type": "python", "path": "predictor.py", "protobuf_path": "texts.proto"},
    }
    [api] = loader.from_mappings([document], tmp_path)
    assert api.spec.networking.endpoint == "/shop.Texts"
    [api] = loader.from_mappings([{**document, "networking": {"endpoint": "mine"}}], tmp_path)
    assert api.spec.networking.endpoint == "/mine"
