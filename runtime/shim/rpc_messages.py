"""Message classes from what protoc compiled, with whatever version of protobuf the user's environment has."""

from __future__ import annotations

import importlib
import types
from typing import Any

from . import signature


class Messages:
    """All messages of the files of a FileDescriptorSet. Raises Invalid."""

    def __init__(self, files: bytes) -> None:
        try:
            descriptor_pb2, descriptor_pool = _part("descriptor_pb2"), _part("descriptor_pool")
        except ImportError:
            text = "protobuf_path: the predictor's environment has no protobuf; add `protobuf` to requirements.txt"
            raise signature.Invalid(text) from None
        told = descriptor_pb2.FileDescriptorSet.FromString(files)
        # Standard messages are those that user code imports; a private pool is for users who also have generated code.
        for pool in (descriptor_pool.Default(), descriptor_pool.DescriptorPool()):
            try:
                self._pool: Any = _filled(pool, told)
                return
            except (TypeError, KeyError) as error:
                problem = error
        raise signature.Invalid(f"protobuf_path: this version of protobuf cannot read it: {problem}")

    def get(self, name: str) -> Any:
        """The class of a message by its full name."""
        return _class(self._pool.FindMessageTypeByName(name))

    def module(self, file: str) -> Any:
        """What protoc would have generated for it, as far as user code looks."""
        found = self._pool.FindFileByName(file)
        module = types.ModuleType(file[: -len(".proto")].replace("/", ".").replace("-", "_") + "_pb2")
        module.DESCRIPTOR = found  # type: ignore[attr-defined]
        for name, message in found.message_types_by_name.items():
            setattr(module, name, _class(message))
        for name, enum in found.enum_types_by_name.items():
            setattr(module, name, _enum(enum))
            for value in enum.values:
                setattr(module, value.name, value.number)
        for imported in found.dependencies:
            alias = imported.name[: -len(".proto")].replace("_", "__").replace("/", "_dot_").replace("-", "_") + "__pb2"
            setattr(module, alias, self.module(imported.name))
        return module


def _filled(pool: Any, told: Any) -> Any:
    """Raises TypeError where a file contradicts what the pool has."""
    default = pool is _part("descriptor_pool").Default()
    for file in told.file:
        if file.name.startswith("google/"):  # also those of googleapis, where the user has them
            try:  # registers itself
                importlib.import_module(file.name[: -len(".proto")].replace("/", ".") + "_pb2")
            except ImportError:
                pass
            else:
                if default:
                    continue
        pool.AddSerializedFile(file.SerializeToString())
    for file in told.file:
        pool.FindFileByName(file.name)
    return pool


def _part(name: str) -> Any:
    """A module of the user's protobuf, if there is one. Raises ImportError."""
    return importlib.import_module(f"google.protobuf.{name}")


def _class(descriptor: Any) -> Any:
    message_factory = _part("message_factory")
    get = getattr(message_factory, "GetMessageClass", None)  # from protobuf 4.22
    if get is not None:
        return get(descriptor)
    return message_factory.MessageFactory(descriptor.file.pool).GetPrototype(descriptor)


def _enum(descriptor: Any) -> Any:
    return _part("internal.enum_type_wrapper").EnumTypeWrapper(descriptor)
