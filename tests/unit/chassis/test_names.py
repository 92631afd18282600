import pytest

from services.chassis import errors, names

PATTERN = "namespaces/{namespace}/apis/{api}"


def test_parse_gives_the_variables() -> None:
    assert names.parse(PATTERN, "namespaces/default/apis/iris") == {"namespace": "default", "api": "iris"}


@pytest.mark.parametrize(
    "name", ["", "namespaces", "namespaces/default/apis/", "namespaces//apis/a", "apis/a/namespaces/b", "a/b/c/d/e"]
)
def test_anything_else_is_refused_with_the_pattern(name: str) -> None:
    with pytest.raises(errors.InvalidArgument, match=r"namespaces/\{namespace\}/apis/\{api\}") as caught:
        names.parse(PATTERN, name)
    assert caught.value.reason == "INVALID_NAME"


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("a", True),
        ("iris-1", True),
        ("a" * 42, True),
        ("a" * 43, False),
        *[(text, False) for text in ("", "-a", "a-", "1a", "A", "a/b", "a.b", "a\n")],
    ],
)
def test_labels(text: str, good: bool) -> None:
    assert names.is_label(text, longest=42) is good
