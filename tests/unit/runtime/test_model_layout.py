"""What is declared under `models`, and which files make which model and version."""

from typing import Any

import pytest

from runtime.models import declaration, layout


def file(path: str, size: int = 1, tag: str = "t") -> layout.File:
    return layout.File(path, size, tag)


def test_one_path_is_one_model() -> None:
    read = declaration.read({"model_path": "m.bin", "signature_key": "s"})
    assert read.entries == (declaration.Entry("default", "m.bin"),)
    assert read.signature_of("default") == "s" and not read.is_lazy


def test_units_and_limits() -> None:
    told = {"dir": "d", "cache_size": 2, "disk_cache_size": 3, "memory_budget": "1.5Gi", "disk_budget": 1000}
    read = declaration.read({**told, "poll_interval": "500ms"})
    assert (read.memory_budget, read.disk_budget, read.poll_interval) == (3 * 2**29, 1000, 0.5)
    assert read.is_lazy


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"path": "a", "dir": "b"}, "exactly one of path, paths and dir may be set, found path and dir"),
        ({"paths": [{"name": "a"}]}, r"models.paths\[0\]: `name` and `path` are required"),
        ({"paths": [{"name": "a", "path": "x"}, {"name": "a", "path": "y"}]}, "'a' is there twice"),
        ({"paths": [{"name": "../x", "path": "x"}]}, "'../x' cannot be the name of a folder"),
        ({"paths": [{"name": "..", "path": "x"}]}, "cannot be the name of a folder"),
        ({"paths": [{"name": "a\0", "path": "x"}]}, "cannot be the name of a folder"),
        ({"path": "a", "cache_size": 0}, "models.cache_size: expected a whole number above 0, found 0"),
        ({"path": "a", "cache_size": True}, "found True"),
        ({"path": "a", "memory_budget": "much"}, "expected bytes such as 512Mi or 4Gi, found 'much'"),
        ({"path": "a", "poll_interval": "soon"}, "expected a duration such as 10s"),
        ({"path": "a", "cache_size": 4, "disk_cache_size": 2}, "at least models.cache_size"),
        ({"pth": "a"}, "unknown key 'pth'"),
    ],
)
def test_what_cannot_be_meant_is_refused(told: dict[str, Any], words: str) -> None:
    with pytest.raises(declaration.Invalid, match=words):
        declaration.read(told)


def test_numbered_folders_are_versions_and_the_rest_is_not_part_of_them() -> None:
    found = layout.versions([file("2/m.onnx"), file("10/m.onnx"), file("readme.md")], "onnx")
    assert layout.newest_first(found) == ["10", "2"]
    assert [each.path for each in found["10"].files] == ["m.onnx"] and found["10"].root == "10"


def test_files_without_a_number_are_one_version() -> None:
    found = layout.versions([file("a.pkl"), file("vocab/b.txt")], "python")
    assert list(found) == ["1"] and found["1"].root == "" and found["1"].bytes == 2


def test_every_folder_below_dir_is_a_model() -> None:
    found = layout.models([file("iris/1/m.pkl"), file("iris/2/m.pkl"), file("wine/m.pkl"), file("notes.txt")], "python")
    assert {name: sorted(versions) for name, versions in found.items()} == {"iris": ["1", "2"], "wine": ["1"]}
    assert found["iris"]["2"].root == "iris/2" and found["wine"]["1"].root == "wine"


@pytest.mark.parametrize(
    ("kind", "names", "problem"),
    [
        ("onnx", ["m.onnx", "m.onnx.data"], ""),
        ("onnx", ["a.onnx", "b.onnx"], "found 2"),
        ("onnx", [""], ""),
        ("tensorflow", ["saved_model.pb", "variables/variables.index"], ""),
        ("tensorflow", ["model.savedmodel/saved_model.pb"], ""),
        ("tensorflow", ["weights.h5"], "no saved_model.pb"),
        ("python", ["anything"], ""),
    ],
)
def test_the_layouts_of_the_types(kind: str, names: list[str], problem: str) -> None:
    told = layout.versions([file(name) for name in names], kind)["1"].problem
    assert (problem in told) if problem else not told


def test_content_is_known_by_names_sizes_and_tags() -> None:
    def digest(*files: layout.File) -> str:
        return layout.versions(list(files), "python")["1"].digest

    assert digest(file("a"), file("b")) == digest(file("b"), file("a"))
    assert len({digest(file("a")), digest(file("b")), digest(file("a", 2)), digest(file("a", 1, "u"))}) == 4


def test_a_triton_model_is_its_folder_as_a_whole() -> None:
    found = layout.models([file("m/config.pbtxt"), file("m/1/model.onnx"), file("m/2/model.onnx")], "triton")
    assert list(found["m"]) == ["1"] and len(found["m"]["1"].files) == 3
