"""Envoy's messages without Envoy's Python packages.

The packages that ship these stubs overwrite files of googleapis-common-protos and of opentelemetry-proto. So the
descriptors live in a committed file and are loaded, when first asked for, into a DescriptorPool of their own: the same
file names may exist beside it in the default pool. Values are typed `Any`, since the classes exist at run time only.
"""

from services.xds_types.loader import from_dict, message, pack, parse_any, serialize, type_url

__all__ = ["from_dict", "message", "pack", "parse_any", "serialize", "type_url"]
