"""Envoy's load report, decoded."""

import pytest

from services import xds_types
from services.autoscaler import lrs

A = "namespaces/default/apis/a"


@pytest.mark.parametrize(
    ("cluster", "api"),
    [
        (f"{A}/revisions/r1-aa", A),
        (f"{A}/revisions/r1-aa#grpc", A),
        ("apiserver", ""),
        ("autoscaler", ""),
        (A, ""),
        (f"{A}/revisions/", ""),
        ("elsewhere/revisions/r1", ""),
    ],
)
def test_which_api_a_cluster_belongs_to(cluster: str, api: str) -> None:
    assert lrs.api_of(cluster) == api


def test_a_report_adds_up_localities_revisions_and_protocols() -> None:
    def cluster(name: str, *busy: int) -> dict[str, object]:
        stats = [{"total_requests_in_progress": str(count), "total_issued_requests": "9"} for count in busy]
        return {"cluster_name": name, "upstream_locality_stats": stats}

    report = xds_types.from_dict(
        "envoy.service.load_stats.v3.LoadStatsRequest",
        {
            "cluster_stats": [
                cluster(f"{A}/revisions/r1", 3, 4),
                cluster(f"{A}/revisions/r2#grpc", 5),
                cluster("namespaces/default/apis/idle/revisions/r1", 0),
                cluster("namespaces/default/apis/none/revisions/r1"),
                cluster("apiserver", 2),
            ]
        },
    )
    again = type(report).FromString(report.SerializeToString())
    assert lrs.in_flight(again) == {A: 12}
