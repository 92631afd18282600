"""Which libraries a predictor is certain to import, read from its source and never by running it."""

import ast
import dataclasses
import pathlib
import re
from collections.abc import Iterator

_MOST_FILES = 200
_LARGEST = 256 * 1024
_PIP = re.compile(r"\bpip3?\b")
_TOLERANT = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


@dataclasses.dataclass(frozen=True, slots=True)
class Imports:
    """`modules` are first parts of names. `uses_pip`: the code installs something, spaCy its models, once it runs."""

    modules: frozenset[str] = frozenset()
    uses_pip: bool = False


def of(project: pathlib.Path, python_path: str, path: str) -> Imports:
    """What is not the project's own and is imported by the file at `path`, and by the files of the project that it
    imports; not what an `except ImportError` makes up for, or what only a script runs."""
    roots = (project / python_path, project)
    waiting, seen, found = [project / path], set[pathlib.Path](), set[str]()
    uses_pip = False
    while waiting and len(seen) < _MOST_FILES:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        for level, name in _imports(file):
            uses_pip = uses_pip or name.partition(".")[0] in ("pip", "spacy")
            above = (folder for folder in file.parents[level - 1 : level] if folder.is_relative_to(project))
            local = _files(tuple(above) if level else roots, name)
            if local:
                waiting += local
            elif not level:
                found.add(name.partition(".")[0])
    return Imports(frozenset(found), uses_pip)


def _imports(file: pathlib.Path) -> Iterator[tuple[int, str]]:
    """Levels of relative imports and names of modules; of `from a import b` also `a.b`, which may be one."""
    try:
        if not file.is_file() or file.stat().st_size > _LARGEST:
            return
        waiting: list[ast.AST] = [ast.parse(file.read_bytes())]
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):  # the last one: nested too deeply
        return  # the worker says so with the user's traceback
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = f"{node.module}." if node.module else ""
            yield from ((node.level, name) for name in (module[:-1], *(module + alias.name for alias in node.names)))
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str) and _PIP.search(node.value):
                yield 0, "pip"  # a command's
        elif not _is_optional(node):
            waiting += ast.iter_child_nodes(node)


def _is_optional(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True  # a docstring
    if isinstance(node, ast.If):
        told = ast.dump(node.test)
        return "TYPE_CHECKING" in told or "'__name__'" in told  # what a type checker or a script runs
    caught: list[ast.AST] = []
    if isinstance(node, ast.Try):
        caught = [each for handler in node.handlers for each in ast.walk(handler.type or ast.Name("Exception"))]
    elif isinstance(node, ast.With):  # contextlib.suppress
        caught = [each for item in node.items for each in ast.walk(item.context_expr)]
    return any(isinstance(each, ast.Name) and each.id in _TOLERANT for each in caught)


def _has_code(folder: pathlib.Path) -> bool:
    """Else Python passes over it, such as a folder of models called `xgboost`, and takes the library of that name."""
    return any(next(folder.rglob(f"*.{ending}"), None) is not None for ending in ("py", "so"))


def _files(roots: tuple[pathlib.Path, ...], name: str) -> list[pathlib.Path]:
    """Those of the project that an import of `name` may run; none when it is not the project's."""
    parts = [part for part in name.split(".") if part]
    for root in roots if parts else ():
        first = root / parts[0]
        if not _has_code(first) and not first.with_suffix(".py").is_file() and not any(root.glob(f"{first.name}.*.so")):
            continue
        folders = [root.joinpath(*parts[:count]) for count in range(1, len(parts) + 1)]
        return [file for each in folders for file in (each.with_suffix(".py"), each / "__init__.py")]
    return []
