"""`cortex run` as somebody who writes a predictor meets it: serve, edit, break, mend, debug, leave."""

import os
import pathlib
import signal
import socket
import struct
import textwrap
import threading
import time
from collections.abc import Sequence

import grpc
import httpx
import pytest

from cortex.runtime.v1 import prediction_service_pb2, prediction_service_pb2_grpc
from tests.client import command

pytestmark = pytest.mark.timeout(300)

PREDICTOR = """
class PythonPredictor:
    def __init__(self, config):
        self.version = 1

    def predict(self, payload):
        print("asked for", payload)
        return {"version": self.version, "got": payload}
"""
YAML = "- name: iris\n  predictor: {type: python, path: predictor.py}\n"


@pytest.fixture
def project(tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "project"
    folder.mkdir()
    write(folder, PREDICTOR)
    return folder


def write(folder: pathlib.Path, predictor: str, yaml: str = YAML) -> None:
    (folder / "cortex.yaml").write_text(yaml)
    (folder / "predictor.py").write_text(textwrap.dedent(predictor))


def test_it_serves_as_deployed_and_shows_what_the_code_says(project: pathlib.Path) -> None:
    with command.running(project, "--here") as run:
        run.until("serving http://127.0.0.1:")
        for path in ("/", "/iris"):
            answer = run.client.post(path, json={"a": 1}, headers={"x-request-id": "mine-7"})
            assert (answer.status_code, answer.json()) == (200, {"version": 1, "got": {"a": 1}})
        assert run.client.get("/iris/v2/health/ready").status_code == 200
        assert run.client.get("/v2/health/ready").status_code == 200
        assert run.client.get("/irises").status_code == run.client.get("/iris/nothing").status_code == 404
        with grpc.insecure_channel(f"127.0.0.1:{run.port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            request = prediction_service_pb2.PredictRequest(content_type="application/json", body=b'{"b": 2}')
            assert b'"b":2' in stub.Predict(request, timeout=10, wait_for_ready=True).body
        run.until("INFO    asked for {'a': 1}  [mine-7]")
    assert run.status == 0


def test_requests_do_not_wait_for_who_does_not_read_what_the_code_says(project: pathlib.Path) -> None:
    write(project, PREDICTOR.replace('print("asked for", payload)', 'print("\\n".join(["x" * 1000] * 2000))'))
    reader, writer = os.pipe()
    try:
        with command.running(project, "--here", stdout=writer) as run:
            run.until("serving")
            for _ in range(3):
                assert run.client.post("/", json=1, timeout=20).status_code == 200
        assert run.status == 0
    finally:
        os.close(reader)
        os.close(writer)


def test_its_own_environment_is_built_as_for_a_deploy(project: pathlib.Path) -> None:
    (project / "dependencies.sh").write_text("echo preparing the machine\n")
    write(project, PREDICTOR.replace("self.version = 1", "import sys; self.version = sys.prefix"))
    with command.running(project) as run:
        run.until("serving")
        assert "cortex: dependencies.sh: preparing the machine" in run.said
        assert run.client.post("/", json=1).json()["version"].startswith(str(project.parent / "home/node/envs"))
        (project / "dependencies.sh").write_text("echo no room\nexit 3\n")
        run.until("the version before serves on")
        assert "`dependencies.sh` failed (status 3)" in run.said and "no room" in run.said
        assert run.client.post("/", json=1).status_code == 200


def test_an_edit_is_served_without_a_failed_request_and_a_broken_one_is_told(project: pathlib.Path) -> None:
    with command.running(project, "--here") as run:
        run.until("serving")
        seen: list[int] = []
        failed: list[object] = []
        stop = threading.Event()
        caller = threading.Thread(target=_ask_on, args=(run.port, stop, seen, failed))
        caller.start()
        try:
            write(project, PREDICTOR.replace("version = 1", "version = 2"))
            run.until("serving", 2)
            command.wait_for(lambda: 2 in seen)
            write(project, PREDICTOR.replace("version = 1", "version = nothing"))
            run.until("the version before serves on")
            assert "NameError: name 'nothing' is not defined" in run.said
            write(project, PREDICTOR.replace("version = 1", "version = 3"))
            command.wait_for(lambda: 3 in seen)
            write(project, PREDICTOR, YAML.replace("python,", "pyton,"))
            run.until("did you mean `python`?")
        finally:
            stop.set()
            caller.join()
        assert failed == [] and sorted(set(seen)) == [1, 2, 3] and seen == sorted(seen)


def test_an_edit_within_the_second_of_the_one_before_is_seen(project: pathlib.Path) -> None:
    """Python compares sizes and whole seconds, and would go on with the bytecode of the version before."""
    write(project, "from inner.number import NUMBER\n" + PREDICTOR.replace("= 1", "= NUMBER"))
    (project / "inner").mkdir()
    number = project / "inner/number.py"
    number.write_text("NUMBER = 1\n")
    with command.running(project, "--here") as run:
        run.until("serving")
        assert run.client.post("/", json=1).json()["version"] == 1
        # Replaced in one step, so that no state between the two is read.
        edited = project / ".edited"
        edited.write_text("NUMBER = 2\n")
        seconds, nanos = divmod(number.stat().st_mtime_ns, 10**9)
        os.utime(edited, ns=(0, seconds * 10**9 + (nanos + 1) % 10**9))
        edited.replace(number)
        run.until("serving", 2)
        with httpx.Client(base_url=run.client.base_url, verify=False) as client:
            assert client.post("/", json=1).json()["version"] == 2


def _ask_on(port: int, stop: threading.Event, seen: list[int], failed: list[object]) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, verify=False) as client:
        while not stop.is_set():
            try:
                answer = client.post("/iris", json=1)
                seen.append(answer.json()["version"]) if answer.status_code == 200 else failed.append(answer.text)
            except httpx.HTTPError as error:
                failed.append(error)
            stop.wait(0.01)


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("- name: iris\n", "cortex.yaml:1:3: predictor: is required"),
        (YAML + "- {name: two, predictor: {type: python, path: predictor.py}}\n", "has several APIs: iris, two"),
        (
            "- name: iris\n  predictor:\n    type: python\n    path: predictor.py\n    threads_per_process: 2000\n",
            "cortex.yaml:5:26: predictor.threads_per_process: must be 1 to 1024, is 2000",
        ),
        (
            "- name: iris\n  predictor:\n    type: python\n    path: predictor.py\n    models: {path: none}\n",
            "predictor.models.path: 'none' is not in the bundle",
        ),
    ],
)
def test_a_wrong_file_is_told_with_its_place(project: pathlib.Path, yaml: str, words: str) -> None:
    write(project, PREDICTOR, yaml)
    with command.running(project, "--here", "--no-reload") as run:
        command.wait_for(run.ended)
    assert run.status == 1
    assert words in run.said


def test_a_folder_without_a_project(tmp_path: pathlib.Path) -> None:
    (tmp_path / "empty").mkdir()
    with command.running(tmp_path / "empty") as run:
        command.wait_for(run.ended)
    assert run.status == 1 and "cortex.yaml: cannot be read: No such file or directory" in run.said


def test_one_of_several_apis(project: pathlib.Path) -> None:
    write(project, PREDICTOR, YAML + "- {name: two, predictor: {type: python, path: predictor.py}}\n")
    with command.running(project / "cortex.yaml", "--here", "--name", "two") as run:
        run.until("/two (and /)")
        assert run.client.post("/two", json=1).status_code == 200


@pytest.mark.parametrize(
    "yaml",
    [
        "- {kind: api, name: iris, predictor: {type: python, path: predictor.py, env: {B: yaml}}}\n",
        "- {name: iris, predictor: {type: python, path: predictor.py, env: {B: yaml}, log_level: warning}}\n",
        "- {name: iris, handler: {type: python, path: predictor.py, env: {B: yaml}, log_level: error}}\n",
    ],
)
def test_variables_and_log_levels_of_every_era(project: pathlib.Path, yaml: str) -> None:
    name, verb = ("Handler", "handle_post") if "handler" in yaml else ("PythonPredictor", "predict")
    code = f"""
    import logging, os
    class {name}:
        def __init__(self, config):
            pass
        def {verb}(self, payload):
            for level in ("info", "warning", "error"):
                getattr(logging, level)("said as " + level)
            return [os.environ.get(name) for name in ("A", "B", "CORTEX_HOME")]
    """
    write(project, code, yaml)
    (project / ".env").write_text("export A='from dotenv'\nB=dotenv\n")
    with command.running(project, "--here") as run:
        run.until("serving")
        assert run.client.post("/", json=1).json() == ["from dotenv", "yaml", None]
        run.until("said as error")
        assert ("said as warning" in run.said) == ("log_level: error" not in yaml)
        assert ("said as info" in run.said) == ("log_level" not in yaml)


def test_a_second_interrupt_waits_for_nobody(project: pathlib.Path) -> None:
    write(project, PREDICTOR.replace('print("asked for", payload)', 'print("asked"); import time; time.sleep(600)'))
    with command.running(project, "--here") as run:
        run.until("serving")
        answers: list[object] = []
        caller = threading.Thread(target=lambda: answers.append(_outcome(run.port)))
        caller.start()
        run.until("asked")
        run.signal(signal.SIGINT)
        command.wait_for(lambda: _refuses(run.port) or run.ended(), 5)
        assert not run.ended(), "what is in flight has its time"
        run.signal(signal.SIGINT)
        command.wait_for(run.ended, 8)
        caller.join(30)


def test_a_caller_who_leaves_or_breaks_off_ends_its_request(project: pathlib.Path) -> None:
    body = """try:
            print("begun"); import time
            while True:
                time.sleep(0.01)
        finally:
            print("over")"""
    write(project, PREDICTOR.replace('print("asked for", payload)', body))
    with command.running(project, "--here") as run:
        run.until("serving")
        for count, breaks_off in enumerate([False, True], 1):
            with socket.create_connection(("127.0.0.1", run.port)) as caller:
                caller.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}")
                run.until("begun", count)
                if breaks_off:  # closing sends a reset then
                    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            run.until("over", count)


def test_a_port_that_is_taken(project: pathlib.Path) -> None:
    with command.running(project, "--here") as run:
        run.until("serving")
        (project.parent / "other").mkdir()
        other = project.parent / "other/project"
        project.rename(other)
        with command.running(other, "--here", "--port", str(run.port)) as second:
            command.wait_for(second.ended)
        assert second.status == 1 and "choose another with --port" in second.said
        with command.running(other, "--here", "--grpc-port", str(run.port)) as second:
            command.wait_for(second.ended)
        assert second.status == 1 and f"port {run.port} cannot be opened: Address already in use" in second.said


def test_the_replica_ends_with_the_command(project: pathlib.Path) -> None:
    write(project, PREDICTOR.replace("self.version = 1", "import os; self.version = os.getpid()"))
    with command.running(project, "--here") as run:
        run.until("serving")
        worker = run.client.post("/", json=1).json()["version"]
        run.signal(signal.SIGKILL)
        command.wait_for(lambda: not _lives(worker))


def test_a_replica_that_dies_is_started_again(project: pathlib.Path) -> None:
    write(project, PREDICTOR.replace("self.version = 1", "import os; self.version = os.getppid()"))
    with command.running(project, "--here") as run:
        run.until("serving")
        front = _front(run.pid)
        os.kill(front, signal.SIGKILL)
        run.until("ended by itself")
        run.until("serving", 2)
        assert run.client.post("/", json=1).status_code == 200


def _refuses(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) != 0


def _outcome(port: int) -> object:
    try:
        return httpx.post(f"http://127.0.0.1:{port}/", json=1, timeout=60)
    except httpx.HTTPError as error:
        return error


def _front(pid: int) -> int:
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return next(int(child) for child in children if b"runtime" in pathlib.Path(f"/proc/{child}/cmdline").read_bytes())


def _lives(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


DEBUGGED = """
class PythonPredictor:
    def __init__(self, config):
        pass

    def predict(self, payload):
        doubled = payload["a"] * 2
        breakpoint()
        return doubled
"""


def _post(port: int, answers: list[httpx.Response]) -> threading.Thread:
    thread = threading.Thread(
        target=lambda: answers.append(httpx.post(f"http://127.0.0.1:{port}/iris", json={"a": 21}, timeout=30))
    )
    thread.start()
    return thread


@pytest.mark.parametrize("arguments", [("--here",), ("--here", "--debug")])
def test_a_breakpoint_opens_the_debugger_at_the_terminal(project: pathlib.Path, arguments: Sequence[str]) -> None:
    write(project, DEBUGGED, YAML + "  networking: {request_timeout: 1s}\n")
    with command.at_a_terminal(project, *arguments) as run:
        run.until("serving")
        answers: list[httpx.Response] = []
        caller = _post(run.port, answers)
        run.until("(Pdb)")
        run.type("p doubled\n")
        run.until("42")
        began = time.monotonic()
        # Longer than the request may take: no clock runs while somebody debugs.
        command.wait_for(lambda: time.monotonic() - began > 1.5)
        run.type("doubled = 7\nc\n")
        caller.join(30)
        assert answers[0].json() == 7
        run.type("\x03")
        command.wait_for(run.ended)
        assert run.status == 0


def test_the_terminal_comes_back_from_a_worker_that_dies_in_the_debugger(project: pathlib.Path) -> None:
    write(project, DEBUGGED)
    with command.at_a_terminal(project, "--here") as run:
        run.until("serving")
        answers: list[httpx.Response] = []
        caller = _post(run.port, answers)
        run.until("(Pdb)")
        run.type("import os; os.kill(os.getpid(), 9)\n")
        caller.join(30)
        assert answers[0].status_code == 503
        command.wait_for(lambda: run.in_front == run.pid)
        run.type("\x03")
        command.wait_for(run.ended)


def test_a_debugger_of_the_users_own(project: pathlib.Path) -> None:
    (project / "mine.py").write_text("def hook():\n    print('my own debugger')\n")
    write(project, DEBUGGED)
    with command.running(project, "--here", PYTHONBREAKPOINT="mine.hook") as run:
        run.until("serving")
        assert run.client.post("/", json={"a": 1}).json() == 2
        run.until("my own debugger")
