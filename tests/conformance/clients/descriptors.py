"""Our messages and tritonclient's are the same on the wire: each name, number, type and label; takes no server.

Ours come as a file from the generated code, without importing it: it would not be in this environment.
"""

import ast
import pathlib
import sys
from typing import Any

from google.protobuf import descriptor_pb2
from tritonclient.grpc import model_config_pb2, service_pb2

_OURS = pathlib.Path(__file__).parents[3] / "protos/gen/cortex/inference/v2/grpc_inference_service_pb2.py"


def ours() -> descriptor_pb2.FileDescriptorProto:
    for node in ast.walk(ast.parse(_OURS.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "AddSerializedFile":
            return descriptor_pb2.FileDescriptorProto.FromString(ast.literal_eval(node.args[0]))
    raise SystemExit(f"no descriptor in {_OURS}")


def fields(messages: Any, prefix: str = "") -> dict[str, tuple[Any, ...]]:
    found: dict[str, tuple[Any, ...]] = {}
    for message in messages:
        name = f"{prefix}{message.name}"
        found[name] = ()
        for field in message.field:
            found[f"{name}.{field.name}"] = field.number, field.type, field.label, field.type_name
        found |= fields(message.nested_type, f"{name}.")
    return found


def methods(services: Any) -> dict[str, tuple[Any, ...]]:
    return {
        f"{service.name}/{method.name}": (
            method.input_type, method.output_type, method.client_streaming, method.server_streaming,
        )
        for service in services
        for method in service.method
    }  # fmt: skip


def main() -> int:
    theirs = [descriptor_pb2.FileDescriptorProto() for _ in range(2)]
    service_pb2.DESCRIPTOR.CopyToProto(theirs[0])
    model_config_pb2.DESCRIPTOR.CopyToProto(theirs[1])
    mine = ours()
    wanted = fields(mine.message_type) | methods(mine.service)
    found: dict[str, Any] = {}
    for file in theirs:
        found |= fields(file.message_type) | methods(file.service)
    different = sorted(name for name in wanted.keys() & found.keys() if wanted[name] != found[name])
    print("ours alone:", sorted(wanted.keys() - found.keys()), "theirs alone:", sorted(found.keys() - wanted.keys()))
    print(f"{len(wanted.keys() & found.keys()) - len(different)}/{len(wanted)} names alike; different: {different}")
    return 1 if different or wanted.keys() - found.keys() else 0


if __name__ == "__main__":
    sys.exit(main())
