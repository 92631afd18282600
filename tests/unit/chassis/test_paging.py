import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis import errors, paging


@given(st.text(), st.text())
def test_a_token_brings_its_position_back(query: str, position: str) -> None:
    assert paging.open_token(query, paging.seal(query, position)) == position


def test_a_token_of_another_query_is_refused() -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        paging.open_token(("apis", "a"), paging.seal(("apis", "b"), "x"))
    assert caught.value.reason == "INVALID_PAGE_TOKEN"


@given(st.text(min_size=1))
def test_garbage_is_refused_and_never_crashes(token: str) -> None:
    with pytest.raises(errors.InvalidArgument):
        paging.open_token("query", token)


def test_page_sizes_are_clamped() -> None:
    assert [paging.clamp(size) for size in (0, 1, 5000)] == [100, 1, 1000]
    with pytest.raises(errors.InvalidArgument):
        paging.clamp(-1)
