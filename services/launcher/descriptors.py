"""The descriptor set that lets the gateway speak JSON for our gRPC services."""

import importlib
import pathlib
import pkgutil

from google.protobuf import descriptor, descriptor_pb2

import cortex

# Without the last three the transcoder cannot show an error's details, nor pass a raw body on.
_FURTHER = ("google.rpc.status_pb2", "google.rpc.error_details_pb2", "google.api.httpbody_pb2")
_CONTRACTS = ("apiserver", "autoscaler", "logstream", "monitor", "type")


def build() -> bytes:
    """A FileDescriptorSet of every public contract and all it imports, each file after its own imports."""
    files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    for name in [*_contract_modules(), *_FURTHER]:
        _add(importlib.import_module(name).DESCRIPTOR, files)
    return descriptor_pb2.FileDescriptorSet(file=list(files.values())).SerializeToString(deterministic=True)


def _contract_modules() -> list[str]:
    found = []
    for contract in _CONTRACTS:
        for root in cortex.__path__:
            folder = pathlib.Path(root, contract, "v1")
            names = [module.name for module in pkgutil.iter_modules([str(folder)]) if module.name.endswith("_pb2")]
            found += [f"cortex.{contract}.v1.{name}" for name in sorted(names)]
    return found


def _add(file: descriptor.FileDescriptor, files: dict[str, descriptor_pb2.FileDescriptorProto]) -> None:
    if file.name in files:
        return
    for dependency in file.dependencies:
        _add(dependency, files)
    files[file.name] = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(files[file.name])
