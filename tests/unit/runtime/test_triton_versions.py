"""Which names are version numbers."""

import pathlib

from runtime.triton import repository


def test_only_plain_digits_are_versions(tmp_path: pathlib.Path) -> None:
    for name in ("1", "\u00b2", "9" * 30):
        (tmp_path / "m" / name).mkdir(parents=True)
    assert list(repository.read(tmp_path / "m").versions) == [1]
