"""Resource names, which clients otherwise treat as opaque."""

DEFAULT_NAMESPACE = "default"


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
