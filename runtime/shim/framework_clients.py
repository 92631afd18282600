"""`tensorflow_client` and `onnx_client` of the ancestor: ask the replica's models, which run on Triton or beside it."""

from __future__ import annotations

import base64
import threading
from typing import Any

from . import asks, logs, models, tensors

_LATEST = "latest"


class _Client:
    """What both have in common."""

    def __init__(self, asker: asks.Asker) -> None:
        self._asker = asker
        self._signatures: dict[Any, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def _ask(self, kind: str, meta: dict[str, Any], body: bytes = b"") -> asks.Answer:
        try:
            return self._asker.ask(kind, meta, body)
        except asks.AskError as error:
            raise models.ModelError(int(error.kind) if error.kind.isdigit() else 500, str(error)) from None

    def _inputs(self, model_name: str | None, model_version: str) -> list[dict[str, Any]]:
        """What the model takes. Asked once: a model whose files change keeps its inputs."""
        key = (model_name, model_version)
        with self._lock:
            known = self._signatures.get(key)
        if known is None:
            known = self._ask("signature", {"model": model_name, "version": model_version})[0]
            with self._lock:
                self._signatures[key] = known
        inputs: list[dict[str, Any]] = known["inputs"]
        return inputs

    def _run(self, model_input: Any, model_name: str | None, model_version: str) -> list[tuple[str, Any]]:
        """Names and arrays of all outputs. Raises ModelError."""
        model_version = str(model_version)
        told, parts = [], []
        wanted = self._inputs(model_name, model_version)
        for each, value in self._named(model_input, wanted):
            try:
                head, data = tensors.pack(each["name"], self._shaped(value, each), each["datatype"])
            except (TypeError, ValueError) as error:
                text = "input {!r} must be {} {}: {}".format(each["name"], each["datatype"], each["shape"], error)
                raise models.ModelError(400, text) from None
            told.append(head)
            parts.append(data)
        request = logs.current.get()
        meta: dict[str, Any] = {"model": model_name, "version": model_version, "inputs": told}
        meta["traceparent"] = request.traceparent if request is not None else ""
        meta["deadline"] = request.deadline if request is not None else None
        answer, body = self._ask("infer", meta, b"".join(parts))
        return tensors.unpack(answer["outputs"], body)

    def _shaped(self, value: Any, wanted: dict[str, Any]) -> Any:
        return value

    @staticmethod
    def _named(model_input: Any, wanted: list[dict[str, Any]]) -> list[tuple[dict[str, Any], Any]]:
        """Each input of the model and its value; a value of its own goes to the only one."""
        if not isinstance(model_input, dict):
            if len(wanted) == 1:
                return [(wanted[0], model_input)]
            names = ", ".join(repr(each["name"]) for each in wanted)
            raise models.ModelError(400, f"model_input must be a dictionary with the keys {names}")
        missing = [each["name"] for each in wanted if model_input.get(each["name"]) is None]
        if missing:
            raise models.ModelError(400, "model_input has no key {}".format(", ".join(map(repr, missing))))
        return [(each, model_input[each["name"]]) for each in wanted]


class ONNXClient(_Client):
    """`predict` returns what `InferenceSession.run` does: a list of arrays, in the order of the model's outputs."""

    def predict(self, model_input: Any, model_name: str | None = None, model_version: str = _LATEST) -> list[Any]:
        return [value for _, value in self._run(model_input, model_name, model_version)]

    def get_model(self, model_name: str | None = None, model_version: str = _LATEST) -> dict[str, Any]:
        """What 0.22 to 0.33 told of a model, without its session, which is the engine's: `["input_signatures"][input]`
        has `shape`, with -1 for what is open, and `type`, as numpy calls it."""
        inputs = self._inputs(model_name, str(model_version))
        told = {each["name"]: {"shape": list(each["shape"]), "type": _numpy_name(each["datatype"])} for each in inputs}
        return {"input_signatures": told}

    @property
    def input_signatures(self) -> dict[str, Any]:
        """The same in 0.18 to 0.21, by the name of the model; here for who has one."""
        return {"default": self.get_model()["input_signatures"]}

    def _shaped(self, value: Any, wanted: dict[str, Any]) -> Any:
        """As of old, a value takes the shape of the input where at most one size of that is open."""
        library = tensors.numpy()
        if library is None or wanted["shape"].count(-1) > 1:
            return value
        return library.asarray(value).reshape(wanted["shape"])


def _numpy_name(datatype: str) -> str:
    return {"BYTES": "object"}.get(datatype, datatype.lower().replace("fp", "float"))


class TensorFlowClient(_Client):
    """`predict` returns a dictionary of flat lists, as TensorFlow Serving's messages had them in JSON: a string, which
    may hold any bytes, comes as base64."""

    def predict(
        self, model_input: Any, model_name: str | None = None, model_version: str = _LATEST
    ) -> dict[str, list[Any]]:
        outputs = self._run(model_input, model_name, model_version)
        return {name: [_plain(item) for item in _flat(value)] for name, value in outputs}

    def _shaped(self, value: Any, wanted: dict[str, Any]) -> Any:
        """As TensorFlow Serving took it, one value may stand for a row of one."""
        if _is_single(value) and all(size in (1, -1) for size in wanted["shape"]):
            for _ in wanted["shape"]:
                value = [value]
        return value


def _is_single(value: Any) -> bool:
    return isinstance(value, (bool, int, float, str, bytes)) or getattr(value, "shape", None) == ()


def _flat(value: Any) -> list[Any]:
    if hasattr(value, "reshape"):
        found: list[Any] = value.reshape(-1).tolist()
        return found
    if not isinstance(value, list):
        return [value]
    return [item for each in value for item in (_flat(each) if isinstance(each, list) else [each])]


def _plain(item: Any) -> Any:
    return base64.b64encode(item).decode("ascii") if isinstance(item, bytes) else item
