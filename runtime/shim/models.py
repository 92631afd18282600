"""The clients an ancestor's constructor may ask for: `python_client` (or `model_client`), and `metrics_client`."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import Any

from . import asks, logs, model_memory

_log = logging.getLogger("cortex")
# Longest a load may wait for models in use by other requests to become idle; a request that ends sooner stops waiting.
_ROOM_SECONDS = 60.0
_LATEST = "latest"


class ModelError(RuntimeError):
    """No such model, or it cannot be had now. Uncaught, callers get `status_code` and `detail`."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status_code = status
        # What a caller sent wrong is told whole; else the reasons, which may name places, are for the log.
        self.detail = text if status == 400 else text.partition("; ")[0].partition(": ")[0]
        self.headers = {"retry-after": "5"} if status == 503 else {}


class NoRoom(ModelError):
    """All that is in memory is in use."""


class ModelClient:
    """`get_model(name, version)` calls the predictor's `load_model(path)` on first use and keeps the result.

    When the files change or a newer version appears, the new one is loaded beside the old one and takes its place; if
    it cannot be loaded, the old one stays.
    """

    def __init__(self, asker: asks.Asker, worker: str) -> None:
        self._asker = asker
        self._worker = worker
        self._predictor: Any | None = None
        self._lock = threading.Lock()
        self._memory: model_memory.Memory | None = None
        self._loading: set[Any] = set()
        self._watching = 0  # pid of the process whose thread watches
        asker.on_move(self._moved)

    def attach(self, predictor: Any) -> None:
        self._predictor = predictor

    def get_model(self, model_name: str | None = None, model_version: str = _LATEST) -> Any:
        """The model, which stays in memory until the current request has ended. Raises ModelError."""
        key = (model_name, str(model_version))
        memory = self._memory or self._begin()
        while True:
            with memory.changed:
                loaded = memory.get(key)
                if loaded is not None:
                    self._pin(memory, loaded)
                    return loaded.model
                if key in self._loading:
                    memory.changed.wait(0.2)
                    continue
                self._loading.add(key)
            try:
                return self._load(memory, key, waits=_ROOM_SECONDS, pin=True)
            finally:
                self._end(memory, key)

    # Loading.

    def _begin(self) -> model_memory.Memory:
        with self._lock:
            if self._memory is None:
                limits = self._ask("limits")
                self._memory = model_memory.Memory(limits["cache_size"], limits["memory_budget"])
            return self._memory

    def _end(self, memory: model_memory.Memory, key: Any) -> None:
        with memory.changed:
            self._loading.discard(key)
            memory.changed.notify_all()

    def _load(self, memory: model_memory.Memory, key: Any, *, waits: float, pin: bool) -> Any:
        """Loads what the front has for `key`, or the next best when that one is broken."""
        failed: dict[str, BaseException] = {}
        while True:
            told = self._ask("find", name=key[0], version=key[1])
            known = self._reuse(memory, key, told["generation"], pin)
            if known is not None:
                return known.model
            if told["generation"] in failed:
                raise failed[told["generation"]]
            title = "{}/{}".format(told["name"], told["version"])
            self._reserve(memory, title, told["bytes"], waits)
            loaded = None
            try:
                loaded = self._open(key, told, failed)
            finally:
                if loaded is None:
                    memory.give_back(told["bytes"])
            if loaded is not None:
                memory.add(key, loaded, told["bytes"], self._pin if pin else None)
                self._tell_dropped(memory)
                self._watch()
                return loaded.model

    def _reuse(self, memory: model_memory.Memory, key: Any, generation: str, pin: bool) -> model_memory.Loaded | None:
        """The same files may be here under another name: `latest` and its number."""
        with memory.changed:
            known = memory.by_generation(generation)
            if known is not None:
                memory.alias(key, known)
                if pin:
                    self._pin(memory, known)
        return known

    def _reserve(self, memory: model_memory.Memory, title: str, size: int, waits: float) -> None:
        try:
            memory.reserve(title, size, waits)
        except model_memory.TooLarge as error:
            raise ModelError(507, str(error)) from None
        except model_memory.Full as error:
            raise NoRoom(503, str(error)) from None
        finally:
            self._tell_dropped(memory)

    def _open(self, key: Any, found: dict[str, Any], failed: dict[str, BaseException]) -> model_memory.Loaded | None:
        """None when it is broken or was replaced meanwhile; the caller looks again."""
        told = self._ask("open", name=key[0], version=key[1])
        generation = told["generation"]
        if generation != found["generation"]:
            self._ask("close", generation=generation)
            return None
        try:
            model = self._load_model()(told["path"])
        except BaseException as error:
            # A request that is cancelled says nothing about the model, and nor does a lack of memory.
            broken = isinstance(error, Exception) and not isinstance(error, MemoryError)
            self._ask("failed" if broken else "close", generation=generation, reason=_reason(error))
            if not broken:
                raise
            failed[generation] = error
            return None
        self._ask("loaded", generation=generation)
        return model_memory.Loaded(told, model)

    def _load_model(self) -> Any:
        if self._predictor is None:
            raise RuntimeError("get_model() works once the constructor has begun")
        load = getattr(self._predictor, "load_model", None)
        if not callable(load):
            raise TypeError(f"{type(self._predictor).__name__} must have a method load_model(self, model_path)")
        return load

    @staticmethod
    def _pin(memory: model_memory.Memory, loaded: model_memory.Loaded) -> None:
        """Until the current request ends. Outside of a request the caller's own reference is all there is."""
        request = logs.current.get()
        if request is not None:
            if request.held is None:
                request.held = model_memory.Pins(memory)
            request.held.add(loaded)

    # The front.

    def _ask(self, doing: str, **meta: Any) -> dict[str, Any]:
        try:
            told, _ = self._asker.ask("model", {"do": doing, "worker": self._worker, "pid": os.getpid(), **meta})
        except asks.AskError as error:
            if error.kind == "unknown":
                text = "cortex.yaml declares no models for get_model(); name them in predictor.models"
                raise RuntimeError(text) from None
            raise ModelError(int(error.kind) if error.kind.isdigit() else 500, str(error)) from None
        return told

    def _tell_dropped(self, memory: model_memory.Memory) -> None:
        while memory.dropped:
            generation = memory.dropped.pop()
            if memory.by_generation(generation) is None:
                self._ask("close", generation=generation)

    # Live reload.

    def _moved(self, worker: str) -> None:
        """A fork has brought this object, and what it has loaded, into a worker."""
        self._worker = worker
        if self._memory is not None and self._memory.known():
            self._watch()

    def _watch(self) -> None:
        if not self._asker.listens:
            return  # a template runs no thread; the workers forked from it watch
        with self._lock:
            if self._watching != os.getpid():
                self._watching = os.getpid()
                threading.Thread(target=self._follow, name="cortex-models", daemon=True).start()

    def _follow(self) -> None:
        """Body of the thread that hears of changes and makes the swaps."""
        assert self._memory is not None
        seen, wanted = 0, sys.maxsize  # what was wanted before our time was not wanted of us
        while True:
            told = self._ask("watch", seen=seen)
            if told["wanted"] > wanted:
                self._memory.spare()
            seen, wanted = told["seen"], told["wanted"]
            for key in self._memory.known():
                try:
                    self._refresh(self._memory, key)
                except Exception:
                    _log.exception("model %s: what is loaded serves on", key)
            self._tell_dropped(self._memory)

    def _refresh(self, memory: model_memory.Memory, key: Any) -> None:
        try:
            told = self._ask("find", name=key[0], version=key[1])
        except ModelError as error:
            if error.status_code == 404:
                memory.remove(key)
            return
        with memory.changed:
            loaded = memory.get(key)
            if loaded is None or loaded.generation == told["generation"] or key in self._loading:
                return
        try:
            self._load(memory, key, waits=0.0, pin=False)
        except NoRoom:
            # No room for both: the next request waits until the old one is idle, and loads the new one.
            memory.remove(key)


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
