"""What the framework types need in an API's environment when its own files do not list it.

The ancestor's images of these types carried the framework, so its projects do not name it. Here the framework's engine
runs in the API's own environment (in a worker, or as a Python backend of Triton), and has to be installed there.
What predictors of any type import is another matter (carried.py).
"""

import dataclasses
import itertools
import pathlib
import re
from collections.abc import Collection

_MOST_FILES = 10_000


@dataclasses.dataclass(frozen=True, slots=True)
class Framework:
    """`packages` are added unless one of `providers` is listed: each brings the framework in another build. `files`
    are the endings and names by which a model of it is known in a model repository."""

    packages: tuple[str, ...]
    providers: frozenset[str]
    files: tuple[str, ...]


# Projects of the ancestor were written for numpy 1, and the Python backend of Triton up to 2.51 reads arrays of numpy 2
# wrongly. Later Pythons have no numpy 1.
_NUMPY = ('numpy<2; python_version < "3.13"', 'numpy; python_version >= "3.13"')
_ONNX = Framework(
    ("onnxruntime", *_NUMPY),
    frozenset({"onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-training", "onnxruntime-qnn"}),
    (".onnx",),
)
_TENSORFLOW = Framework(
    # The build without CUDA is a third of the size, and there is one for x86 only; who wants a GPU lists
    # `tensorflow[and-cuda]`.
    ('tensorflow-cpu; platform_machine == "x86_64"', 'tensorflow; platform_machine != "x86_64"', *_NUMPY),
    frozenset({"tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tensorflow-rocm", "tensorflow-macos", "tf-nightly"}),
    ("saved_model.pb", ".savedmodel"),
)
_PYTHON = Framework(_NUMPY, frozenset({"numpy"}), ("model.py",))
_BY_TYPE = {"ONNX": (_ONNX,), "TENSORFLOW": (_TENSORFLOW,)}


def missing(predictor_type: str, listed: Collection[str], repository: pathlib.Path | None = None) -> tuple[str, ...]:
    """Packages to add to those `listed`, whose names are normalized. For type TRITON they follow from the models in
    `repository`, where that lies on this machine."""
    needed: tuple[Framework, ...] = _BY_TYPE.get(predictor_type, ())
    if predictor_type == "TRITON" and repository is not None:
        needed = _used(repository)
    added = [
        package
        for framework in needed
        if framework.providers.isdisjoint(listed)
        for package in framework.packages
        if name_of(package) not in listed
    ]
    return tuple(dict.fromkeys(added))


def name_of(package: str) -> str:
    return re.split(r"[<;]", package)[0]


def _used(repository: pathlib.Path) -> tuple[Framework, ...]:
    names = [path.name for path in itertools.islice(repository.rglob("*"), _MOST_FILES)]
    known = (_ONNX, _TENSORFLOW, _PYTHON)
    return tuple(each for each in known if any(name.endswith(each.files) for name in names))
