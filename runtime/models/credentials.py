"""Who we are to an object store: the AWS_* variables, else the chain every AWS SDK follows, else nobody."""

import time
from collections.abc import Mapping
from typing import Any

from runtime.models.signing import Credentials

_FRESH_SECONDS = 240.0
_PATIENCE_SECONDS = 10.0
# Without one of these the chain could only ask the machine's own metadata service.
_CHAIN = (
    "AWS_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
)
# All that says who we are, or where to ask for it.
IDENTITY = frozenset(
    [
        *_CHAIN, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN",
        "AWS_DEFAULT_PROFILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    ]
)  # fmt: skip


class Provider:
    """Knows the credentials of now; they may change every hour. Any thread."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._static = Credentials(
            environ.get("AWS_ACCESS_KEY_ID", ""),
            environ.get("AWS_SECRET_ACCESS_KEY", ""),
            environ.get("AWS_SESSION_TOKEN", ""),
        )
        has_metadata = environ.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true"
        # A store of one's own has its keys in the variables; nobody should wait for a metadata service there.
        asks = any(environ.get(name) for name in _CHAIN) or (has_metadata and not environ.get("AWS_ENDPOINT_URL"))
        self._asks_chain = asks and not self._static.access_key
        self._known = Credentials()
        self._known_until = 0.0

    def get(self) -> Credentials:
        if not self._asks_chain:
            return self._static
        if time.monotonic() >= self._known_until:
            self._known = self._ask()
            self._known_until = time.monotonic() + _FRESH_SECONDS
        return self._known

    def expired(self) -> None:
        """The store takes them no more: the next request asks for others."""
        self._known_until = 0.0

    @staticmethod
    def _ask() -> Credentials:
        from awscrt import auth, exceptions, io

        # One of its own each time: a chain that is kept does not see that its file was written anew.
        chain: Any = auth.AwsCredentialsProvider.new_default_chain(io.ClientBootstrap.get_or_create_static_default())
        try:
            found = chain.get_credentials().result(_PATIENCE_SECONDS)
        except (exceptions.AwsCrtError, TimeoutError):
            return Credentials()
        return Credentials(found.access_key_id, found.secret_access_key, found.session_token or "")
