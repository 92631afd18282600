"""Resource names, which clients otherwise treat as opaque."""

import re

DEFAULT_NAMESPACE = "default"
API_ID = "at most 42 lower case letters, digits and dashes, a letter first and no dash last"
_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LONGEST_API_ID = 42
_LONGEST_NAMESPACE_ID = 63


def namespace(namespace_id: str) -> str:
    return f"namespaces/{namespace_id}"


def api(namespace_id: str, api_id: str) -> str:
    return f"namespaces/{namespace_id}/apis/{api_id}"


def revision(api_name: str, revision_id: str) -> str:
    return f"{api_name}/revisions/{revision_id}"


def bundle(namespace_id: str, bundle_id: str) -> str:
    return f"namespaces/{namespace_id}/bundles/{bundle_id}"


def last(name: str) -> str:
    """The id at the end of a name."""
    return name.rpartition("/")[2]


def namespace_of(name: str) -> str:
    parts = name.split("/")
    return parts[1] if len(parts) > 1 else ""


def is_api_id(text: str) -> bool:
    """Whether an API can be called so: a DNS-1035 label with room left for the ids of its replicas."""
    return len(text) <= _LONGEST_API_ID and _LABEL.fullmatch(text) is not None


def is_namespace_id(text: str) -> bool:
    return len(text) <= _LONGEST_NAMESPACE_ID and _LABEL.fullmatch(text) is not None
