"""From a folder of the user's files to an object that answers: import, choose the class, construct.

Each way to fail has a reason the user meets again in the API's status, and carries the user's own traceback.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from . import asks, batches, signature, tracebacks

if TYPE_CHECKING:
    from . import models, rpc


class LoadError(Exception):
    """`reason` is a CONDITION_REASON without its prefix, `text` what the user reads."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text


def load_service(setup: dict[str, Any]) -> rpc.Service | None:
    """The user's own gRPC service, where there is one. Raises LoadError."""
    if not setup.get("service"):
        return None
    from . import rpc  # here, as other predictors do without

    try:
        return rpc.Service(setup["service"])
    except signature.Invalid as error:
        raise LoadError("INVALID_PREDICTOR", str(error)) from None


def load_class(setup: dict[str, Any], service: rpc.Service | None = None) -> Any:
    """Imports the module and returns the class. Raises LoadError."""
    folder = os.path.join(setup["project_dir"], setup["python_path"])
    path = os.path.join(setup["project_dir"], setup["path"])
    if not os.path.isfile(path):
        raise LoadError("IMPORT_FAILED", "predictor.path: the bundle has no file {!r}".format(setup["path"]))
    for entry in (setup["project_dir"], folder):
        entry = os.path.abspath(entry)
        if entry in sys.path:
            sys.path.remove(entry)
        sys.path.insert(0, entry)
    os.chdir(setup["project_dir"])
    try:
        module = _import(path, os.path.abspath(folder))
    except BaseException as error:  # a module that calls sys.exit() is as broken as one that raises
        raise LoadError("IMPORT_FAILED", _told(error)) from None
    cls = _choose(module, setup["class_name"], setup["path"], service.names if service else ())
    try:
        signature.check_class(cls, service.taken(cls) if service else ())
        if service is not None:
            service.check_class(cls)
    except signature.Invalid as error:
        raise LoadError("INVALID_PREDICTOR", "{}: {}.{}".format(setup["path"], cls.__name__, error)) from None
    return cls


def _import(path: str, folder: str) -> Any:
    relative = os.path.splitext(os.path.relpath(path, folder))[0]
    parts = relative.split(os.sep)
    name = ".".join(parts)
    if all(part.isidentifier() for part in parts) and name not in sys.modules:
        module = importlib.import_module(name)
        if os.path.realpath(getattr(module, "__file__", None) or "") == os.path.realpath(path):
            return module
    # A name that is no identifier, or that a module of the standard library already has.
    name = "predictor_" + "".join(sign if sign.isalnum() else "_" for sign in parts[-1])
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_CLASSES = ("PythonPredictor", "TensorFlowPredictor", "ONNXPredictor", "Handler")


def _choose(module: Any, class_name: str, path: str, rpcs: Sequence[str]) -> Any:
    for name in [class_name] if class_name else _CLASSES:
        found = getattr(module, name, None)
        if isinstance(found, type):
            if not signature.is_candidate(found, rpcs):
                raise LoadError("INVALID_PREDICTOR", f"{path}: class {name} has neither predict() nor handle_post()")
            return found
    if class_name:
        raise LoadError("INVALID_PREDICTOR", f"{path} has no class {class_name} (predictor.class_name)")
    own = [value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__]
    candidates = [cls for cls in own if signature.is_candidate(cls, rpcs)]
    if len(candidates) == 1:
        return candidates[0]
    names: list[str] = [cls.__name__ for cls in candidates]
    seen = "several: {}".format(", ".join(names)) if names else "none"
    raise LoadError(
        "INVALID_PREDICTOR",
        f"{path} must have a class PythonPredictor or Handler, or one class with predict(); it has {seen}",
    )


def construct(
    cls: Any,
    setup: dict[str, Any],
    asker: asks.Asker,
    service: rpc.Service | None = None,
    is_active: Callable[[int], bool] = bool,
) -> signature.Contract:
    """Runs the user's constructor. Its clients ask the front through `asker`. Raises LoadError."""
    client: list[models.ModelClient] = []

    def model_client() -> models.ModelClient:
        from . import models  # here, as most predictors have no use for them

        if not client:
            client.append(models.ModelClient(asker, setup["worker"]))
        return client[0]

    offered: dict[str, Callable[[], Any]] = {
        "config": lambda: setup["config"],
        "python_client": model_client,
        "model_client": model_client,
        "job_spec": lambda: None,
        "metrics_client": lambda: _metrics_client(asker),
        **_framework_clients(setup["predictor_type"], asker),
        "proto_module_pb2": lambda: service.module if service else None,
    }
    try:
        arguments = signature.constructor_arguments(cls, offered)
        instance = _attached(cls, arguments, client[0]) if client else cls(**arguments)
        contract = signature.inspect_instance(instance, service.taken(cls) if service else ())
        if service is not None:
            contract.verbs.update(service.methods(instance, is_active))
        if setup.get("batching"):
            signature.check_batched(contract)
            contract.verbs["POST"] = batches.Method(contract.verbs["POST"])
        return contract
    except signature.Invalid as error:
        raise LoadError("INVALID_PREDICTOR", "{}: {}.{}".format(setup["path"], cls.__name__, error)) from None
    except BaseException as error:  # sys.exit() in a constructor must not look like a stop
        raise _failed(error) from None


def _metrics_client(asker: asks.Asker) -> Any:
    from . import custom_metrics  # as above

    return custom_metrics.MetricsClient(asker)


def _framework_clients(kind: str, asker: asks.Asker) -> dict[str, Callable[[], Any]]:
    """What the constructor of a framework type may ask for. Imported here, as other predictors do without."""
    if kind not in ("tensorflow", "onnx"):
        return {}
    from . import framework_clients

    if kind == "onnx":
        return {"onnx_client": lambda: framework_clients.ONNXClient(asker)}
    return {"tensorflow_client": lambda: framework_clients.TensorFlowClient(asker)}


def guarded(function: Callable[[], Any]) -> Any:
    """Runs the user's code as a part of loading. Raises LoadError."""
    try:
        return function()
    except BaseException as error:
        raise _failed(error) from None


async def guarded_async(waited: Any) -> None:
    try:
        await waited
    except BaseException as error:
        raise _failed(error) from None


def _failed(error: BaseException) -> LoadError:
    return LoadError("OUT_OF_MEMORY" if isinstance(error, MemoryError) else "CONSTRUCTOR_FAILED", _told(error))


def _told(error: BaseException) -> str:
    text = tracebacks.of_user(error)
    name = error.name if isinstance(error, ModuleNotFoundError) else ""
    if name and "." not in name:
        text += f"\n{name} is neither in the project nor installed; list the package it comes with in requirements.txt"
    return text


def _attached(cls: Any, arguments: dict[str, Any], client: models.ModelClient) -> Any:
    """An instance whose constructor may call get_model() already, which needs the instance's own load_model()."""
    if type(cls).__call__ is not type.__call__:  # a metaclass that makes instances in its own way
        instance = cls(**arguments)
        client.attach(instance)
        return instance
    instance = cls.__new__(cls) if cls.__new__ is object.__new__ else cls.__new__(cls, **arguments)
    client.attach(instance)
    if isinstance(instance, cls):
        instance.__init__(**arguments)
    return instance
