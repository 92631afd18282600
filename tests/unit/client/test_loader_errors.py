"""Every kind of mistake with its place, what was expected, what was found, and what to do."""

import pathlib

import pytest

from cortex_client import deploying, exceptions
from cortex_client.project import errors, loader

GOOD = "- name: iris\n  predictor:\n    type: python\n    path: predictor.py\n"

# (what is added to or written instead of a good document, place, words of the error)
TABLE = [
    (GOOD + "  compte:\n    cpu: 1\n", "5:3", "compte: no such field (did you mean `compute`?)"),
    (GOOD + "    pth: x.py\n", "5:5", "predictor.pth: no such field (did you mean `path`?)"),
    (GOOD + "  min_replicas: 1\n", "5:3", "min_replicas: no such field (did you mean `autoscaling.min_replicas`?)"),
    (GOOD + "  spot: true\n", "5:3", "spot: no such field (spot instances are set in cluster.yaml)"),
    (GOOD + "  autoscaling:\n    min_replicas: lots\n", "6:19", "expected a whole number, found the text 'lots'"),
    (GOOD + "  autoscaling:\n    min_replicas: 1.5\n", "6:19", "expected a whole number, found the number 1.5"),
    (GOOD + "  autoscaling:\n    max_replicas: 0\n", "6:19", "expected more than 0, found the number 0"),
    (GOOD + "  autoscaling:\n    max_replicas: 4294967296\n", "6:19", "at most 32 bits"),
    (GOOD + "  autoscaling:\n    window: 60\n", "6:13", "expected a duration such as 100ms"),
    (GOOD + "  autoscaling: [1]\n", "5:16", "expected a mapping, found a list"),
    (GOOD + "  compute: {cpu: many}\n", "5:18", "expected cores such as 200m"),
    (GOOD + "  compute: {mem: 1gb}\n", "5:18", "expected bytes such as 512Mi"),
    (GOOD + "  compute: {node_groups: gpu}\n", "5:26", "expected a list of text, found the text 'gpu'"),
    (GOOD + "  networking: {retries: maybe}\n", "5:25", "expected true or false, found the text 'maybe'"),
    (GOOD + "  update_strategy: {max_surge: a lot}\n", "5:32", "a percentage such as 25%"),
    (GOOD + "  monitoring: {key: class}\n", "5:15", "monitoring.model_type: is required"),
    (GOOD + "  monitoring: {model_type: clasification}\n", "5:28", "did you mean `classification`?"),
    (GOOD + "    log_level: verbose\n", "5:16", "expected one of debug, info, warning, error; found 'verbose'"),
    (GOOD + "    env: {A: [1]}\n", "5:11", "predictor.env.A: expected text, found a list"),
    (GOOD + "    env:\n      B: x\n      C: null\n", "7:7", "predictor.env.C: expected text, found null"),
    (GOOD + "    env: {A: {b: 1}}\n", "5:11", "predictor.env.A: expected text, found a mapping"),
    (GOOD + "    env: [A]\n", "5:10", "predictor.env: expected a mapping of text, found a list"),
    (GOOD + "    config: {id: 9007199254740993}\n", "5:14", "write 9007199254740993 as text"),
    (GOOD + "    config: {x: .inf}\n", "5:14", "predictor.config.x: expected finite numbers"),
    (GOOD + "    config: {x: {y: [1, .nan]}}\n", "5:25", "predictor.config.x.y[1]: expected finite numbers"),
    (GOOD.replace("iris", "A_B"), "1:9", "name: expected at most 42 lower case letters, digits and dashes"),
    (GOOD.replace("iris", "é"), "1:9", "a letter first and no dash last, found 'é'"),
    (GOOD.replace("iris", "a-"), "1:9", "found 'a-'"),
    (GOOD.replace("iris", "a" * 43), "1:9", "found 'aaaaa"),
    (GOOD.replace("iris", "a" * 900), "1:9", "(900 characters)"),
    (GOOD + "  name: again\n", "5:3", "`name` stands here twice; first in line 1"),
    (GOOD + "  handler: {type: python, path: p.py}\n", "5:3", "`predictor` is given twice under two names"),
    (GOOD + "  endpoint: /a\n  networking: {endpoint: /b}\n", "6:26", "says the same as `endpoint` (keep one of them)"),
    (GOOD + "  networking: !shell rm\n", "5:15", "the tag !shell is not allowed"),
    (GOOD + "  networking: !!python/object:os.system x\n", "5:15", "is not allowed here"),
    (GOOD + "  ? [a]\n  : b\n", "5:5", "a key has to be text"),
    (GOOD + "\tcompute: 1\n", "5:1", "this is not YAML"),
    (GOOD + "- name: iris\n  predictor: {type: python, path: p.py}\n", "5:3", "`iris` is the name of two APIs"),
    ("- predictor: {type: python, path: p.py}\n", "1:3", "name: is required"),
    ("name: iris\n", "1:1", "predictor: is required"),
    ("name: 12\npredictor: {type: python, path: p.py}\n", "1:7", "expected text, found the number 12"),
    (
        "name: iris\npredictor: {path: p.py}\n",
        "2:12",
        "predictor.type: is required (one of python, tensorflow, onnx, triton)",
    ),
    ("name: iris\npredictor:\n", "2:1", "predictor: is required"),
    ("name: iris\npredictor: {type: python, path: p.pickle}\n", "2:33", "a pickled predictor is not supported"),
    ("name: iris\npredictor: {type: tensorflow}\n", "2:12", "predictor.path: is required"),
    (GOOD + "    models: {path: gs://b/m}\n", "5:20", "file:///path or s3://bucket/key, found the text 'gs://b/m'"),
    (GOOD + "    models: {paths: [{path: m}]}\n", "5:22", "predictor.models.paths[0].name: is required"),
    (GOOD + "    models: {dir: m, memory_budget: lots}\n", "5:37", "expected bytes such as 512Mi"),
    (GOOD + "    server_side_batching: {max_batch_size: 4}\n", "5:27", "batch_interval: is required"),
    (GOOD + "    task: chat\n", "5:11", "expected one of text-generation, embedding; found 'chat'"),
    (GOOD + "    inputs: [{name: x, datatype: float}]\n", "5:34", "predictor.inputs[0].datatype: expected one of BOOL"),
    (
        GOOD + "    inputs: [{name: x, datatype: FP32, shape: [a]}]\n",
        "5:48",
        "predictor.inputs[0].shape[0]: expected a whole",
    ),
    (GOOD + "    inputs: [x]\n", "5:14", "predictor.inputs[0]: expected a mapping, found the text 'x'"),
    (GOOD + "    worker: {start: forked}\n", "5:21", "expected one of spawn, fork-server, fork-loaded"),
    ("name: iris\npredictor: {type: pyton, path: p.py}\n", "2:19", "did you mean `python`?"),
    (
        "name: x\nkind: BatchAPI\npredictor: {type: python, path: p.py}\n",
        "2:7",
        "`BatchAPI` is known, but not available",
    ),
    ("name: x\nkind: TrafficSplitter\napis: []\n", "2:7", "`TrafficSplitter` is known, but not available yet"),
    ("name: x\nkind: RealtimApi\npredictor: {type: python, path: p.py}\n", "2:7", "did you mean `RealtimeAPI`?"),
    ("- kind: deployment\n  name: iris\n", "1:9", "is the grouping of 0.12"),
    ("just text\n", "1:1", "expected one API or a list of APIs, found the text 'just text'"),
    ("[]\n", "1:1", "found a list"),
    ("", "1:1", "found nothing"),
    ("- 1\n", "1:3", "expected an API, found the number 1"),
    ("[" * 20_000, "1:1", "nested too deep; 64 levels are the most"),
    ("name: iris\nname2: &a [*a]\n", "2:8", "too large once its aliases are followed"),
]


@pytest.mark.parametrize(("document", "place", "words"), TABLE, ids=[row[2][:40] for row in TABLE])
def test_place_and_words(document: str, place: str, words: str) -> None:
    with pytest.raises(errors.ProjectInvalid) as caught:
        loader.parse(document, "cortex.yaml")
    told = caught.value.message.splitlines()
    assert any(line.startswith(f"cortex.yaml:{place}: ") and words in line for line in told), told


def test_all_problems_are_told_at_once_in_the_files_order() -> None:
    document = "- name: 1\n  predictor: {type: java}\n  colour: red\n"
    with pytest.raises(errors.ProjectInvalid) as caught:
        loader.parse(document, "cortex.yaml")
    assert [problem.path for problem in caught.value.problems] == ["name", "predictor.path", "predictor.type", "colour"]


def test_aliases_do_not_grow_without_bound() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(errors.ProjectInvalid, match="too large once its aliases are followed"):
        loader.parse("\n".join(lines), "cortex.yaml")


def test_a_file_above_the_limit_is_not_read(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "cortex.yaml"
    path.write_text("#" * (1024 * 1024 + 1))
    with pytest.raises(errors.ProjectInvalid, match="larger than 1 MiB"):
        loader.load(path)


def test_a_missing_file_is_told(tmp_path: pathlib.Path) -> None:
    with pytest.raises(
        errors.ProjectInvalid, match=r"cortex.yaml: cannot be read: No such file .*the project's folder"
    ):
        loader.load(tmp_path / "cortex.yaml")


def test_a_folder_in_place_of_the_file_is_told(tmp_path: pathlib.Path) -> None:
    (tmp_path / "cortex.yaml").mkdir()
    with pytest.raises(errors.ProjectInvalid, match=r"[^/]*/cortex.yaml: is a folder, not a file") as caught:
        deploying.prepare(tmp_path / "cortex.yaml")
    assert "cortex.yaml/cortex.yaml" not in caught.value.message


def test_the_longest_name_is_one() -> None:
    (api,) = loader.parse(GOOD.replace("iris", "a" * 42), "cortex.yaml")
    assert api.name == "a" * 42


def test_a_name_that_only_the_server_refuses_points_into_the_file() -> None:
    (api,) = loader.parse(GOOD, "cortex.yaml")
    refused = exceptions.Invalid("taken", reason="INVALID_NAME", metadata={"name": "namespaces/default/apis/iris"})
    assert api.explain(refused).message == "cortex.yaml:1:9: name: taken"
    namespace = exceptions.Invalid("bad", reason="INVALID_NAME", metadata={"name": "namespaces/A_B/apis/iris"})
    assert api.explain(namespace) is namespace


def test_text_that_is_not_utf8_is_told_with_its_line(tmp_path: pathlib.Path) -> None:
    (tmp_path / "cortex.yaml").write_bytes(b"name: iris\n# \xff\n")
    with pytest.raises(errors.ProjectInvalid, match=r"cortex.yaml:2:1: is not UTF-8"):
        loader.load(tmp_path / "cortex.yaml")


@pytest.mark.parametrize(
    ("addition", "words"),
    [
        ("", "5:11: predictor.path: there is no 'predictor.py'"),
        ("    python_path: ../src\n", "predictor.python_path: '../src' leaves the project"),
        ("    dependencies: {pip: reqs.txt}\n", "predictor.dependencies.pip: there is no 'reqs.txt'"),
        ("    dependencies: {conda: c.txt}\n", "predictor.dependencies.conda: there is no 'c.txt'"),
        ("    dependencies: {shell: d.sh}\n", "predictor.dependencies.shell: there is no 'd.sh'"),
        ("    protobuf_path: a.proto\n", "predictor.protobuf_path: there is no 'a.proto'"),
    ],
)
def test_files_of_the_project_must_be_there(tmp_path: pathlib.Path, addition: str, words: str) -> None:
    path = tmp_path / "cortex.yaml"
    (tmp_path / "predictors.py").write_text("")
    path.write_text("# first\n" + GOOD + addition)
    with pytest.raises(errors.ProjectInvalid) as caught:
        loader.load(path)
    assert words in caught.value.message
    assert "did you mean `predictors.py`?" in caught.value.message


PLACES = """\
- name: iris
  autoscaling:
    target_replica_concurrency: 2
  compute: {cpu: 1m}
  handler:
    env: {CORTEX_X: a}
    inputs: [{name: a, datatype: FP32, shape: [0]}]
    multi_model_reloading: {paths: [{name: a, path: m}], cache_size: 1}
    type: python
    path: p.py
"""


@pytest.mark.parametrize(
    ("field", "place", "written"),
    [
        ("autoscaling.target_in_flight", "3:33", "autoscaling.target_replica_concurrency"),
        ("spec.compute.cpu_millis", "4:18", "compute.cpu"),
        ("compute.cpu", "4:18", "compute.cpu"),
        ("api.spec.predictor.env.CORTEX_X", "6:10", "handler.env"),
        ("autoscaling.window", "3:5", "autoscaling"),
        ("predictor.inputs[0].shape", "7:47", "handler.inputs[0].shape"),
        ("predictor.inputs[0]", "7:14", "handler.inputs[0]"),
        ("predictor.models", "8:28", "handler.multi_model_reloading"),
        ("predictor.models.cache_size", "8:70", "handler.multi_model_reloading.cache_size"),
        ("predictor.models.paths[0].path", "8:53", "handler.multi_model_reloading.paths[0].path"),
        ("networking.endpoint", "1:3", "networking.endpoint"),
    ],
)
def test_the_servers_violations_point_into_the_file(field: str, place: str, written: str) -> None:
    (api,) = loader.parse(PLACES, "cortex.yaml")
    error = exceptions.Invalid("bad", violations=[exceptions.Violation(field, "must be otherwise")])
    assert api.explain(error).message == f"cortex.yaml:{place}: {written}: must be otherwise"
