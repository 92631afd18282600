"""A stand-in for `python -m runtime`: same config file, state file, ports and SIGTERM, and no user code.

Run as a script with the standard library only. `spec.predictor.config` of the replica says how it behaves:
ready_after (seconds), fail (reason of a load failure), exit_code, ignore_term, allocate_mb, worker (starts a child).
"""

import http.server
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time


class Door(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class State:
    def __init__(self, path: str) -> None:
        self._path = pathlib.Path(path)

    def write(self, state: str, failure: dict[str, object] | None = None) -> None:
        value = {"pid": os.getpid(), "state": state, "message": f"fake is {state}", "failure": failure, "workers": []}
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(json.dumps({**value, "updated": time.time()}))
        temporary.replace(self._path)


def main() -> None:
    print("fake runtime starts", flush=True)
    config = json.loads(pathlib.Path(sys.argv[sys.argv.index("--config") + 1]).read_text())
    behaviour = config["spec"]["predictor"].get("config", {})
    guard()
    state = State(config["stateFile"])
    state.write("STARTING")
    if behaviour.get("worker"):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdin=subprocess.DEVNULL)
    if "fail" in behaviour:
        words = {"reason": behaviour["fail"], "message": "Traceback: no good", "time": time.time(), "exit_code": 1}
        state.write("STARTING", words)
        sys.exit(1)
    if "exit_code" in behaviour:
        print("fake runtime gives up", flush=True)
        sys.exit(int(behaviour["exit_code"]))
    serve(config, behaviour, state)


def guard() -> None:
    """A copy of this process in a session of its own, as the real runtime has one; it ends with its original."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)


def serve(config: dict[str, str], behaviour: dict[str, float], state: State) -> None:
    ended = threading.Event()

    def drain(*_: object) -> None:
        state.write("DRAINING")
        if not behaviour.get("ignore_term"):
            ended.set()

    signal.signal(signal.SIGTERM, drain)
    host, _, port = config["httpAddress"].rpartition(":")
    server = http.server.ThreadingHTTPServer((host, int(port)), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ended.wait(behaviour.get("ready_after", 0.0))
    if not ended.is_set():
        state.write("READY")
    held = bytearray(int(behaviour.get("allocate_mb", 0)) * 1024 * 1024)
    ended.wait()
    print(f"fake runtime ends, {len(held)} bytes held", flush=True)


if __name__ == "__main__":
    main()
