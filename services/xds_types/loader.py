"""Loads `descriptors.binpb.z` when first asked and makes classes from it."""

import functools
import pathlib
import zlib
from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

_FILE = pathlib.Path(__file__).with_name("descriptors.binpb.z")
_PREFIX = "type.googleapis.com/"


@functools.cache
def pool() -> descriptor_pool.DescriptorPool:
    """The private pool; Python's own well-known types are not in it, only this file's."""
    private = descriptor_pool.DescriptorPool()
    files = descriptor_pb2.FileDescriptorSet.FromString(zlib.decompress(_FILE.read_bytes()))
    for file in files.file:
        private.Add(file)
    return private


@functools.cache
def message(full_name: str) -> Any:
    """The class of a full name such as `envoy.config.cluster.v3.Cluster`. Raises KeyError for one not in the file."""
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(full_name))


def from_dict(full_name: str, value: Mapping[str, Any]) -> Any:
    """A message from its JSON form (snake_case names allowed, `@type` in Any resolved within this pool).

    About ten times slower than keyword construction: for the few big resources, not for endpoints.
    """
    return json_format.ParseDict(dict(value), message(full_name)(), descriptor_pool=pool())


def serialize(value: Any) -> bytes:
    """Bytes that are equal whenever the message is, in this process and in the next: maps are sorted."""
    return value.SerializeToString(deterministic=True)  # type: ignore[no-any-return]


def type_url(value: Any) -> str:
    return _PREFIX + str(value.DESCRIPTOR.full_name)


def pack(value: Any) -> Any:
    """A `google.protobuf.Any` of this pool that holds `value`."""
    return message("google.protobuf.Any")(type_url=type_url(value), value=serialize(value))


def parse_any(value: Any) -> Any:
    """The message inside an Any. Raises KeyError when its type is not in the file."""
    return message(value.type_url.removeprefix(_PREFIX)).FromString(value.value)
