"""Which logs of replicas that are gone are kept, and that nothing else is touched."""

import os
import pathlib

from services.node import replica_logs

_LIMITS = replica_logs.Limits(replicas=2, seconds=1000.0, bytes=100, young=10.0)
_HOME = pathlib.Path("/logs/default")


def _log(name: str, written: float, size: int = 1, api: str = "iris") -> replica_logs.Log:
    return replica_logs.Log(_HOME / api / "r1" / f"{name}.jsonl", size, written)


def _chosen(*logs: replica_logs.Log, held: tuple[str, ...] = (), now: float = 500.0) -> list[str]:
    return [log.replica for log in replica_logs.choose(logs, frozenset(held), _LIMITS, now)]


def test_the_newest_of_each_api_are_kept() -> None:
    logs = [_log(name, written) for written, name in enumerate("abcd")]
    assert _chosen(*logs) == ["b", "a"]
    assert _chosen(*logs, _log("e", 0, api="other")) == ["b", "a"]


def test_those_of_replicas_that_are_there_neither_go_nor_count() -> None:
    logs = [_log(name, written, size=200) for written, name in enumerate("abcd")]
    assert _chosen(*logs, held=("a", "b", "c", "d")) == []
    assert _chosen(_log("a", 0), _log("b", 1), _log("c", 2), _log("d", 3), held=("c", "d")) == []


def test_size_and_age_have_an_end() -> None:
    assert _chosen(_log("large", 2, size=101)) == ["large"]
    assert _chosen(_log("new", 2, size=60), _log("old", 1, size=60)) == ["old"]
    assert _chosen(_log("old", 1), now=1002.0) == ["old"]


def test_nothing_young_goes() -> None:
    assert _chosen(*(_log(name, 495, size=90) for name in "abcd")) == []


def test_files_go_in_pairs_and_empty_folders_with_them(tmp_path: pathlib.Path) -> None:
    for name in ("default/iris/r1/old.jsonl", "default/iris/r1/old.jsonl.1", "default/iris/r2/half.jsonl.1",
                 "default/iris/r2/new.jsonl", "default/gone/r1/x.jsonl"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * 5000)
        os.utime(path, (1.0, 1.0) if "new" not in name else (990.0, 990.0))
    (tmp_path / "default/iris/r2/notes.txt").write_text("not ours")
    limits = replica_logs.Limits(seconds=100.0, young=10.0)
    replica_logs.collect(tmp_path, frozenset({"new"}), 1000.0, limits)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == ["default", "default/iris", "default/iris/r2", "default/iris/r2/new.jsonl",
                    "default/iris/r2/notes.txt"]  # fmt: skip
    replica_logs.collect(tmp_path / "none", frozenset(), 1000.0, limits)
