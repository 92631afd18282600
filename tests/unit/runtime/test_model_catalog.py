"""Which revision of a model serves, through everything that can become of the files."""

import pathlib

import pytest

from runtime.models import catalog, layout, sources
from runtime.models.catalog import Catalog, ModelError, Revision, State

SOURCE = sources.DiskSource(pathlib.Path("/models"), is_fixed=False)


def look(found: Catalog, name: str, **versions: str) -> list[Revision]:
    """The source has these versions now, each with a file whose tag is given."""
    files = [layout.File(f"{version.removeprefix('v')}/w", 1, tag) for version, tag in versions.items()]
    fresh = found.replace(name, SOURCE, layout.versions(files, "python"))
    for revision in fresh:
        revision.state = State.READY
    return fresh


def served(found: Catalog, name: str, version: str = catalog.LATEST) -> str:
    best = found.candidates(name, version)[0]
    return f"{best.version}:{best.content.files[0].tag}"


def test_the_highest_number_is_the_latest_and_the_same_files_stay_the_same_revision() -> None:
    found = Catalog()
    assert len(look(found, "m", v2="a", v10="b")) == 2
    assert served(found, "m") == "10:b" and served(found, "m", "2") == "2:a"
    assert look(found, "m", v2="a", v10="b") == []


def test_a_broken_change_leaves_what_served() -> None:
    found = Catalog()
    (first,) = look(found, "m", v1="a")
    found.prove(first)
    (second,) = look(found, "m", v1="b")
    assert served(found, "m") == "1:b" and not first.gone
    second.state = State.FAILED
    assert served(found, "m") == "1:a"
    (third,) = look(found, "m", v1="c")
    assert second.gone and not first.gone
    found.prove(third)
    assert first.gone and served(found, "m") == "1:c"


def test_what_nobody_ever_loaded_is_not_kept_for_a_change() -> None:
    found = Catalog()
    (first,) = look(found, "m", v1="a")
    look(found, "m", v1="b")
    assert first.gone and [each.title for each in found.revisions()] == ["m/1"]


def test_a_broken_new_version_falls_back_to_the_one_before_and_alone_is_offered_all_the_same() -> None:
    found = Catalog()
    look(found, "m", v1="a")
    look(found, "m", v1="a", v2="b")[0].state = State.FAILED
    assert served(found, "m") == "1:a"
    assert served(found, "m", "2") == "2:b", "who asks for it alone hears why it is broken"


def test_what_is_removed_is_gone() -> None:
    found = Catalog()
    one, two = look(found, "m", v1="a", v2="b")
    look(found, "m", v1="a")
    assert two.gone and not one.gone and served(found, "m") == "1:a"
    look(found, "m")
    assert one.gone
    with pytest.raises(ModelError, match="there is no model 'm'; there are: none") as caught:
        found.candidates("m", catalog.LATEST)
    assert caught.value.status == 404


def test_a_name_may_be_left_out_where_there_is_one_model() -> None:
    found = Catalog()
    look(found, "m", v1="a")
    assert found.candidates(None, catalog.LATEST)[0].title == "m/1"
    look(found, "n", v1="a")
    with pytest.raises(ModelError, match="name one of: m, n") as caught:
        found.candidates(None, catalog.LATEST)
    assert caught.value.status == 400


def test_the_index_tells_state_and_reason() -> None:
    found = Catalog()
    first, second = look(found, "m", v1="a", v2="b")
    found.prove(first)
    (change,) = look(found, "m", v1="c", v2="b")
    change.state, change.reason = State.FAILED, "broken"
    second.state = State.FETCHING
    told = [(entry.version, entry.state, entry.reason) for entry in found.index()]
    assert told == [
        ("1", "READY", "the files before the last change serve; the new ones: broken"),
        ("2", "LOADING", ""),
    ]
