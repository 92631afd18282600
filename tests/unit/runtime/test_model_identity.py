"""Whose credentials models are fetched with."""

import pytest

from runtime.models import opening

NODE = {
    "AWS_ACCESS_KEY_ID": "n",
    "AWS_SECRET_ACCESS_KEY": "n",
    "AWS_SESSION_TOKEN": "n",
    "AWS_REGION": "n",
    "PATH": "p",
}


@pytest.mark.parametrize("own", [{"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "a"}, {"AWS_PROFILE": "a"}])
def test_an_apis_identity_replaces_the_nodes_as_a_whole(own: dict[str, str]) -> None:
    assert opening._merged(NODE, {**own, "OTHER": "x"}) == {"AWS_REGION": "n", "PATH": "p", **own}


def test_a_place_alone_leaves_the_nodes_identity() -> None:
    own = {"AWS_REGION": "a", "AWS_ENDPOINT_URL": "http://a"}
    assert opening._merged(NODE, own) == {**NODE, **own}
