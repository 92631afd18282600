"""The bootstrap as a golden file, accepted by the real Envoy; the descriptor set as a whole."""

import json
import os
import pathlib
import subprocess

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from services.launcher import bootstrap, catalog, descriptors

_GOLDEN = pathlib.Path(__file__).parents[3] / "deploy/envoy/bootstrap.json"


def _gateway(**changes: str) -> bootstrap.Gateway:
    return bootstrap.Gateway(
        **{
            "node_id": "gateway-local",
            "cluster_id": "cortex",
            "admin_socket": "/home/cortex/.cortex/gateway/admin.sock",
            "control_address": "127.0.0.1:8889",
            "apiserver_address": "127.0.0.1:18001",
            "autoscaler_address": "127.0.0.1:18002",
            "logstream_address": "127.0.0.1:18003",
            "monitor_address": "127.0.0.1:18004",
            "descriptors": "/home/cortex/.cortex/gateway/descriptors.binpb",
            "control_log": "/home/cortex/.cortex/logs/gateway/control.log",
            **changes,
        }
    )


def test_the_bootstrap_equals_the_sample_in_deploy() -> None:
    """`CORTEX_UPDATE_GOLDEN=1 pytest` writes the sample anew."""
    text = json.dumps(bootstrap.build(_gateway()), indent=2) + "\n"
    if os.environ.get("CORTEX_UPDATE_GOLDEN"):
        _GOLDEN.write_text(text)
    assert text == _GOLDEN.read_text()


@pytest.mark.parametrize("endpoint", ["", "http://collector.example:4317"])
def test_envoy_accepts_it(tmp_path: pathlib.Path, endpoint: str) -> None:
    descriptor_set = tmp_path / "descriptors.binpb"
    descriptor_set.write_bytes(descriptors.build())
    gateway = _gateway(
        descriptors=str(descriptor_set), control_log=str(tmp_path / "control.log"), otlp_endpoint=endpoint
    )
    path = tmp_path / "bootstrap.json"
    path.write_text(json.dumps(bootstrap.build(gateway)))
    command = [catalog.find_envoy(os.environ), "--mode", "validate", "-c", str(path), "--disable-hot-restart"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-3000:]


def test_every_file_of_the_descriptor_set_follows_its_imports() -> None:
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptors.build()).file
    pool = descriptor_pool.DescriptorPool()
    for file in files:
        pool.Add(file)  # raises for a missing import
    names = {file.name for file in files}
    assert {"google/rpc/status.proto", "google/rpc/error_details.proto", "google/api/httpbody.proto"} <= names
    assert pool.FindServiceByName("cortex.apiserver.v1.ApiService").methods_by_name["GetApi"].GetOptions().ByteSize()
    assert "cortex/node/v1/node_service.proto" not in names


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        ("http://localhost:4317", "localhost:4317"),
        ("https://otel.example/v1/traces", "otel.example:4317"),
        ("10.0.0.1:55680", "10.0.0.1:55680"),
    ],
)
def test_the_address_of_an_otlp_endpoint(endpoint: str, address: str) -> None:
    assert bootstrap.otlp_address(endpoint) == address


def test_a_listener_off_loopback_serves_every_host_name() -> None:
    manager = bootstrap.build(_gateway(control_address="0.0.0.0:8889"))["static_resources"]["listeners"][0]
    hosts = manager["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
    assert [host["domains"] for host in hosts] == [["*"]]
    # Web pages are refused there as well.
    assert hosts[0]["routes"][0]["direct_response"]["status"] == 403
