"""Models that cannot be loaded yet keep no predictor from starting; asking for one says so."""

import pathlib
import re
from typing import Any

import pytest

from runtime.shim import models


class Loader:
    """A predictor as far as its models go."""

    def load_model(self, path: str) -> str:
        return pathlib.Path(path).name


def client(folder: pathlib.Path, declared: dict[str, Any]) -> models.ModelClient:
    made = models.ModelClient(str(folder), declared)
    made.attach(Loader())
    return made


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"dir": "s3://bucket/models"}, "`models.dir` is not in effect yet"),
        ({"path": "s3://bucket/model"}, "'s3://bucket/model': only files of the bundle"),
        ({"path": "../outside"}, "only files of the bundle"),
    ],
)
def test_it_is_told_when_asked_for_and_not_before(tmp_path: pathlib.Path, declared: dict[str, Any], told: str) -> None:
    made = client(tmp_path, declared)
    with pytest.raises(ValueError, match=re.escape(told)):
        made.get_model()


def test_one_that_cannot_be_loaded_leaves_the_others(tmp_path: pathlib.Path) -> None:
    here = {"name": "here", "path": "a.bin"}
    made = client(tmp_path, {"paths": [here, {"name": "far", "path": "s3://bucket/b.bin"}]})
    assert made.get_model("here") == "a.bin"
    with pytest.raises(ValueError, match="s3://"):
        made.get_model("far")
    with pytest.raises(KeyError, match="far, here"):
        made.get_model("none")
