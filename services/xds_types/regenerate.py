"""Makes `descriptors.binpb.z` anew from the xds-protos wheel. Run by hand when Envoy's API is to move on:

    pip download --no-deps --dest /tmp/wheel xds-protos==1.85.0
    python -m services.xds_types.regenerate /tmp/wheel/xds_protos-*.whl

The wheel is only read, never installed (see README.md). Options that only validators and linters read are dropped, and
with them the files that define them: half of the size. Two runs on one wheel give the same bytes.
"""

import importlib
import pathlib
import sys
import zlib

from google.protobuf import descriptor, descriptor_pb2

ROOTS = (
    "envoy.service.discovery.v3.ads",
    "envoy.service.load_stats.v3.lrs",
    "envoy.service.auth.v3.external_auth",
    "envoy.config.listener.v3.listener",
    "envoy.config.route.v3.route",
    "envoy.config.cluster.v3.cluster",
    "envoy.config.endpoint.v3.endpoint",
    "envoy.config.trace.v3.opentelemetry",
    "envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager",
    "envoy.extensions.filters.http.router.v3.router",
    "envoy.extensions.filters.http.ext_authz.v3.ext_authz",
    "envoy.extensions.filters.http.grpc_http1_reverse_bridge.v3.config",
    "envoy.extensions.filters.http.health_check.v3.health_check",
    "envoy.extensions.filters.http.header_to_metadata.v3.header_to_metadata",
    "envoy.extensions.retry.host.previous_hosts.v3.previous_hosts",
    "envoy.extensions.request_id.uuid.v3.uuid",
    "envoy.extensions.access_loggers.file.v3.file",
    "envoy.extensions.access_loggers.stream.v3.stream",
    "envoy.extensions.access_loggers.filters.cel.v3.cel",
    "envoy.extensions.upstreams.http.v3.http_protocol_options",
)
_ANNOTATIONS = (
    "validate/",
    "udpa/annotations/",
    "xds/annotations/",
    "envoy/annotations/",
    "google/api/annotations.proto",
)
_WANTED_OPTIONS = {"map_entry", "packed"}
# Fields that the Envoy we ship reads (1.40) and the newest wheel does not know yet: file, message, name, number. All
# are of type bool. Remove a line once the wheel has it: `_add` refuses to add a field twice.
_ADDED = (("envoy/config/route/v3/route_components.proto", "RetryPolicy", "refresh_cluster_on_retry", 14),)
_TARGET = pathlib.Path(__file__).with_name("descriptors.binpb.z")


def collect(wheel: pathlib.Path) -> descriptor_pb2.FileDescriptorSet:
    """Every file the roots need, dependencies before dependents."""
    sys.path.insert(0, str(wheel))
    importlib.invalidate_caches()
    found: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    for root in ROOTS:
        _visit(importlib.import_module(root + "_pb2").DESCRIPTOR, found)
    for file, message, field, number in _ADDED:
        _add(found[file], message, field, number)
    return descriptor_pb2.FileDescriptorSet(file=found.values())


def _visit(file: descriptor.FileDescriptor, found: dict[str, descriptor_pb2.FileDescriptorProto]) -> None:
    if file.name in found or file.name.startswith(_ANNOTATIONS):
        return
    for dependency in file.dependencies:
        _visit(dependency, found)
    proto = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(proto)
    kept = [name for name in proto.dependency if not name.startswith(_ANNOTATIONS)]
    del proto.dependency[:], proto.public_dependency[:], proto.weak_dependency[:]
    proto.dependency.extend(kept)
    _strip(proto)
    found[file.name] = proto


def _add(file: descriptor_pb2.FileDescriptorProto, message: str, field: str, number: int) -> None:
    [target] = [one for one in file.message_type if one.name == message]
    if any(one.name == field or one.number == number for one in target.field):
        raise ValueError(f"{file.name}: {message} has {field} or number {number} already; take it out of _ADDED")
    kind = descriptor_pb2.FieldDescriptorProto
    target.field.add(
        name=field, number=number, label=kind.LABEL_OPTIONAL, type=kind.TYPE_BOOL, json_name=_camel_case(field)
    )


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _strip(proto: object) -> None:
    """Drops every option but the two that change how bytes are read, here and in everything nested."""
    for field, value in proto.ListFields():  # type: ignore[attr-defined]
        if field.name == "options":
            _keep(value)
            if not value.ListFields():
                proto.ClearField("options")  # type: ignore[attr-defined]
        elif field.message_type is not None:
            for item in value if field.is_repeated else [value]:
                _strip(item)


def _keep(options: object) -> None:
    options.DiscardUnknownFields()  # type: ignore[attr-defined]
    for field, _ in options.ListFields():  # type: ignore[attr-defined]
        if field.is_extension:
            options.ClearExtension(field)  # type: ignore[attr-defined]
        elif field.name not in _WANTED_OPTIONS:
            options.ClearField(field.name)  # type: ignore[attr-defined]


def main() -> None:
    files = collect(pathlib.Path(sys.argv[1]))
    data = files.SerializeToString(deterministic=True)
    _TARGET.write_bytes(zlib.compress(data, 9))
    sys.stderr.write(f"{len(files.file)} files, {len(data)} bytes, {_TARGET.stat().st_size} compressed\n")


if __name__ == "__main__":
    main()
