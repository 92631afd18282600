"""How long a caller waits, in the two ways callers say it."""

import pytest

from services.autoscaler import ext_authz


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"grpc-timeout": "1H"}, 3600.0),
        ({"grpc-timeout": "2M"}, 120.0),
        ({"grpc-timeout": "3S"}, 3.0),
        ({"grpc-timeout": "1500m"}, 1.5),
        ({"grpc-timeout": "250000u"}, 0.25),
        ({"grpc-timeout": "1000000n"}, 0.001),
        ({"x-request-timeout-ms": "2500"}, 2.5),
        ({"x-request-timeout-ms": "2500", "grpc-timeout": "1S"}, 1.0),
        ({"grpc-timeout": "1 S", "x-request-timeout-ms": "-5"}, None),
        ({"grpc-timeout": "123456789S", "x-request-timeout-ms": "1e3"}, None),
    ],
)
def test_the_shorter_of_what_the_caller_says(headers: dict[str, str], seconds: float | None) -> None:
    budget = ext_authz.caller_budget(headers)
    assert budget == (None if seconds is None else pytest.approx(seconds))
