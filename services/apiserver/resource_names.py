"""The resource names of this service: `namespaces/{namespace}/apis/{api}` and what hangs below."""

from services.apiserver import errors
from services.chassis import names

NAMESPACE = "namespaces/{namespace}"
API = "namespaces/{namespace}/apis/{api}"
REVISION = "namespaces/{namespace}/apis/{api}/revisions/{revision}"
BUNDLE = "namespaces/{namespace}/bundles/{bundle}"
EVENT = "namespaces/{namespace}/events/{event}"
GATEWAY = "gateways/{gateway}"
ANY_NAMESPACE = "-"
LONGEST_API_ID = 42
_HEX = frozenset("0123456789abcdef")


def api(namespace: str, api_id: str) -> str:
    return names.format(API, namespace=namespace, api=api_id)


def parse_api(name: str) -> tuple[str, str]:
    """Namespace and id. Raises InvalidArgument (INVALID_NAME) for anything that cannot name an API."""
    found = names.parse(API, name)
    _check_namespace(found["namespace"], name)
    if not names.is_label(found["api"], longest=LONGEST_API_ID):
        raise _invalid(
            name,
            f"the id {found['api']!r} is not a label of at most {LONGEST_API_ID} lower case letters, digits and dashes "
            "that begins with a letter",
        )
    return found["namespace"], found["api"]


def parse_parent(name: str) -> str:
    """The namespace of a parent that must be one namespace."""
    namespace = names.parse(NAMESPACE, name)["namespace"]
    _check_namespace(namespace, name)
    return namespace


def parse_scope(name: str) -> str | None:
    """The namespace of a parent, None for `namespaces/-`: all of them."""
    return None if name == names.format(NAMESPACE, namespace=ANY_NAMESPACE) else parse_parent(name)


def revision(api_name: str, revision_id: str) -> str:
    """Empty for an empty id: "no revision" stays "no revision"."""
    return f"{api_name}/revisions/{revision_id}" if revision_id else ""


def parse_revision(name: str) -> tuple[str, str]:
    """Resource name of the API, and id of the revision."""
    found = names.parse(REVISION, name)
    api_name = api(found["namespace"], found["api"])
    parse_api(api_name)
    return api_name, found["revision"]


def revision_id(name: str) -> str:
    return name.rpartition("/")[2]


def namespace_of(api_name: str) -> str:
    return api_name.split("/", 2)[1]


def id_of(api_name: str) -> str:
    return api_name.rpartition("/")[2]


def bundle(namespace: str, digest: str) -> str:
    return names.format(BUNDLE, namespace=namespace, bundle=digest)


def parse_bundle(name: str) -> tuple[str, str]:
    """Namespace, and SHA-256 in hex."""
    found = names.parse(BUNDLE, name)
    _check_namespace(found["namespace"], name)
    digest = found["bundle"]
    if not is_digest(digest):
        raise _invalid(name, "the id of a bundle is the SHA-256 of its archive as 64 lower case hex digits")
    return found["namespace"], digest


def is_digest(text: str) -> bool:
    return len(text) == 64 and _HEX.issuperset(text)


def event(api_name: str, event_id: int) -> str:
    return names.format(EVENT, namespace=namespace_of(api_name), event=str(event_id))


def parse_event(name: str) -> int:
    text = names.parse(EVENT, name)["event"]
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise _invalid(name, "the id of an event is a number")
    return int(text)


def gateway(node_id: str) -> str:
    return names.format(GATEWAY, gateway=node_id)


def _check_namespace(namespace: str, name: str) -> None:
    if not names.is_label(namespace):
        raise _invalid(name, f"the namespace {namespace!r} is not a label of lower case letters, digits and dashes")


def _invalid(name: str, why: str) -> errors.InvalidArgument:
    return errors.InvalidArgument(f"{name[:200]!r}: {why}", reason="INVALID_NAME", metadata={"name": name[:200]})
