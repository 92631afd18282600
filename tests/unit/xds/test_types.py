"""Envoy's messages in their own pool."""

import subprocess
import sys

import pytest
from google.protobuf import descriptor_pool

from services import xds_types

CLUSTER = "envoy.config.cluster.v3.Cluster"


def test_the_default_pool_knows_nothing_of_it() -> None:
    xds_types.message(CLUSTER)
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName(CLUSTER)


def test_any_resolves_within_the_pool() -> None:
    router = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
        "suppress_envoy_headers": True,
    }
    made = xds_types.from_dict(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter", {"name": "r", "typed_config": router}
    )
    assert xds_types.parse_any(made.typed_config).suppress_envoy_headers


def test_maps_have_one_order() -> None:
    make = xds_types.message("envoy.config.core.v3.Metadata")
    names = [f"key-{number}" for number in range(50)]
    one, other = (make(filter_metadata={name: {} for name in order}) for order in (names, reversed(names)))
    assert xds_types.pack(one) == xds_types.pack(other) and len(xds_types.serialize(one)) > 50


@pytest.mark.parametrize(
    "name",
    [
        "envoy.service.load_stats.v3.LoadStatsRequest",
        "envoy.service.auth.v3.CheckRequest",
        "envoy.service.discovery.v3.DiscoveryRequest",
        "envoy.extensions.filters.http.grpc_http1_reverse_bridge.v3.FilterConfig",
    ],
)
def test_it_holds_what_the_services_need(name: str) -> None:
    assert xds_types.message(name).DESCRIPTOR.full_name == name


def test_fields_that_the_wheel_lacks_are_added_with_their_number_on_the_wire() -> None:
    policy = xds_types.message("envoy.config.route.v3.RetryPolicy")(refresh_cluster_on_retry=True)
    assert xds_types.serialize(policy) == bytes([14 << 3, 1])


def test_importing_it_loads_nothing() -> None:
    code = "from services.xds_types import loader; assert loader.pool.cache_info().currsize == 0"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
