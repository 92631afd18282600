"""A protoc plugin: protoc's own Python generator, with a private descriptor pool for packages that are not ours.

The Open Inference Protocol's package is `inference` in everybody's copy of it. Two copies in Python's one default pool
raise on import; in a pool of its own ours meets nobody.
"""

import pathlib
import sys
import tempfile

from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2
from grpc_tools import protoc

_SHARED = "_descriptor_pool.Default()"
_PRIVATE = "_descriptor_pool.DescriptorPool()"


def generate(request: plugin_pb2.CodeGeneratorRequest) -> plugin_pb2.CodeGeneratorResponse:
    response = plugin_pb2.CodeGeneratorResponse(
        supported_features=plugin_pb2.CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
    )
    foreign = {file.name for file in request.proto_file if not file.package.startswith("cortex.")}
    with tempfile.TemporaryDirectory() as folder:
        descriptors = pathlib.Path(folder, "in.binpb")
        descriptors.write_bytes(descriptor_pb2.FileDescriptorSet(file=request.proto_file).SerializeToString())
        out = pathlib.Path(folder, "out")
        out.mkdir()
        arguments = ["protoc", f"--descriptor_set_in={descriptors}", f"--python_out={out}"]
        if protoc.main([*arguments, *request.file_to_generate]) != 0:
            response.error = "grpc_tools.protoc failed; see its own words above"
            return response
        for path in sorted(out.rglob("*_pb2.py")):
            name = str(path.relative_to(out))
            text = path.read_text()
            if name.removesuffix("_pb2.py") + ".proto" in foreign:
                text = text.replace(_SHARED, _PRIVATE)
            response.file.add(name=name, content=text)
    return response


if __name__ == "__main__":
    incoming = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    sys.stdout.buffer.write(generate(incoming).SerializeToString())
