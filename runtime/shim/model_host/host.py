"""A process that runs one instance of a model for the embedded engine: what Triton's stub is to Triton.

The front sends requests over a Unix socket; a thread reads them, so that a cancellation is heard while the model runs.
"""

import asyncio
import collections
import importlib
import importlib.util
import inspect
import json
import os
import signal
import socket
import sys
import threading
import traceback

import cortex_tensors as tensors
import triton_python_backend_utils as pb_utils


def _frames():
    """The worker's framing, in the package that the worker has it in: none of its names can meet the user's."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    spec = importlib.util.spec_from_file_location(
        "_cortex_shim", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["_cortex_shim"] = module
    spec.loader.exec_module(module)
    return importlib.import_module("_cortex_shim.frames")


frames = _frames()
SETUP, INFER, CANCEL = 1, 2, 3
LOADED, FAILED, RESPONSE, ERROR, STREAM = 10, 11, 12, 13, 14


def main():
    fd, front = int(sys.argv[1]), int(sys.argv[2])
    _end_with(front)
    sock = socket.socket(fileno=fd)
    host = Host(sock)
    threading.Thread(target=host.listen, name="cortex-listen", daemon=True).start()
    host.run()


def _end_with(front):
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != front:
        os._exit(1)


class Host:
    def __init__(self, sock):
        self._sock = sock
        self._lock = threading.Lock()
        self._arrived = threading.Condition()
        self._queue = collections.deque()
        self._open = {}
        self._setup = None

    def listen(self):
        decoder = frames.Decoder()
        while True:
            data = self._sock.recv(262144)
            if not data:
                os._exit(0)
            with self._arrived:
                for kind, number, head, body in decoder.feed(data):
                    self._take(kind, number, head, body)
                self._arrived.notify()

    def _take(self, kind, number, head, body):
        if kind == CANCEL:
            request = self._open.get(number)
            if request is not None:
                request.cancelled = True
        elif kind == SETUP:
            self._setup = json.loads(body)
        else:
            told = json.loads(head)
            told["number"] = number
            told["all_outputs"] = self._outputs
            request = pb_utils.InferenceRequest(told, None, self._stream)
            self._open[number] = request
            self._queue.append((request, told, body))

    def run(self):
        with self._arrived:
            while self._setup is None:
                self._arrived.wait()
        try:
            self._load(self._setup)
        except BaseException:
            self._send(FAILED, 0, {"error": traceback.format_exc()})
            threading.Event().wait(10)  # the front ends this process once it has read that
            os._exit(1)
        self._send(LOADED, 0, {})
        while True:
            with self._arrived:
                while not self._queue:
                    self._arrived.wait()
                taken = self._batch()
            if taken:
                self._execute(taken)

    def _load(self, setup):
        self._config = json.loads(setup["args"]["model_config"])
        self._outputs = [told["name"] for told in self._config.get("output", ())]
        self._decoupled = pb_utils.using_decoupled_model_transaction_policy(self._config)
        self._most = max(1, int(self._config.get("max_batch_size", 0))) if "dynamic_batching" in self._config else 1
        os.environ.update(setup.get("environment", {}))
        sys.path[1:1] = setup["path"]
        spec = importlib.util.spec_from_file_location("model", setup["module"])
        module = importlib.util.module_from_spec(spec)
        sys.modules["model"] = module
        spec.loader.exec_module(module)
        self._model = module.TritonPythonModel()
        if hasattr(self._model, "initialize"):
            self._model.initialize(setup["args"])
        self._loop = asyncio.new_event_loop() if inspect.iscoroutinefunction(self._model.execute) else None

    def _batch(self):
        """What is here, up to a full batch; requests that nobody waits for any more are left out."""
        taken, size = [], 0
        while self._queue:
            request, told, body = self._queue[0]
            items = told["inputs"][0]["shape"][0] if self._most > 1 and told["inputs"] else 1
            if taken and size + items > self._most:
                break
            self._queue.popleft()
            if request.cancelled:
                self._open.pop(request.number, None)
                continue
            size += items
            taken.append((request, told, body))
        return taken

    def _execute(self, taken):
        requests = []
        for request, told, body in taken:
            request._inputs = tensors.read(told["inputs"], body, self._config)
            requests.append(request)
        try:
            responses = self._model.execute(requests)
            if self._loop is not None:
                responses = self._loop.run_until_complete(responses)
        except Exception as error:
            text = traceback.format_exc()
            print(text, file=sys.stderr)
            for request in requests:
                self._fail(request, f"{type(error).__name__}: {error}", internal=True)
            return
        if self._decoupled and responses is None:
            return
        if not isinstance(responses, (list, tuple)) or len(responses) != len(requests):
            for request in requests:
                self._fail(request, "execute() must return one response per request", internal=True)
            return
        for request, response in zip(requests, responses):
            self._answer(request, response)

    def _answer(self, request, response):
        if response is None:
            self._fail(request, "execute() returned None for a request", internal=True)
        elif response.has_error():
            self._fail(request, response.error().message(), code=response.error().code())
        else:
            self._reply(RESPONSE, request, response)

    def _stream(self, request, response, final):
        """A decoupled model sends."""
        if request.done:
            return
        if response is not None and response.has_error():
            self._fail(request, response.error().message(), code=response.error().code())
        else:
            self._reply(STREAM, request, response, final)

    def _reply(self, kind, request, response, final=True):
        wanted = request.requested_output_names()
        given = [] if response is None else [each for each in response.output_tensors() if each.name() in wanted]
        try:
            told, body = tensors.write(given, self._config)
        except Exception as error:
            self._fail(request, str(error), internal=True)
            return
        if final:
            request.done = True
            self._open.pop(request.number, None)
        self._send(kind, request.number, {"outputs": told, "final": final}, body)

    def _fail(self, request, text, internal=False, code=1):
        request.done = True
        self._open.pop(request.number, None)
        self._send(ERROR, request.number, {"error": text, "internal": internal, "code": code})

    def _send(self, kind, number, head, body=b""):
        with self._lock:
            self._sock.sendall(frames.pack_start(kind, number, json.dumps(head).encode(), len(body)))
            if body:
                self._sock.sendall(body)


if __name__ == "__main__":
    main()
