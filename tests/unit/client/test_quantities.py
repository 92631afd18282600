"""Notations: what parses, to what exactly, and what does not."""

import pytest

from cortex_client.project import quantities


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60s", 60), ("5m", 300), ("1m30s", 90), ("100ms", 0.1), ("1.5h", 5400), ("0", 0), ("0s", 0), ("250us", 0.00025)],
)
def test_durations(text: str, seconds: float) -> None:
    assert quantities.parse_duration(text) == round(seconds * 1e9)


@pytest.mark.parametrize("text", ["", "60", "5 m", "-1s", "1d", "s", "1m30", "m1", "9999999999h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        quantities.parse_duration(text)


@pytest.mark.parametrize(("text", "millis"), [("200m", 200), ("1", 1000), ("0.5", 500), ("2", 2000), ("0.0001", 1)])
def test_cores(text: str, millis: int) -> None:
    assert quantities.parse_cpu(text) == millis


@pytest.mark.parametrize(
    ("text", "size"),
    [("1Gi", 2**30), ("512Mi", 2**29), ("1G", 10**9), ("100M", 10**8), ("1.5Ki", 1536), ("1024", 1024), ("1e3", 1000),
     ("1k", 1000)],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert quantities.parse_bytes(text) == size


@pytest.mark.parametrize("text", ["1gi", "Mi", "-1Mi", "1 Gi", "1m", "1GiB", "9e99"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="bytes"):
        quantities.parse_bytes(text)


@pytest.mark.parametrize("text", ["25%", "1", "0", "100%"])
def test_counts_and_percentages(text: str) -> None:
    assert quantities.parse_count_or_percent(text) == text


@pytest.mark.parametrize("text", ["%", "-1", "1.5", "25 %", ""])
def test_what_is_neither(text: str) -> None:
    with pytest.raises(ValueError, match="percentage"):
        quantities.parse_count_or_percent(text)
