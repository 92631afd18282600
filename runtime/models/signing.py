"""Signatures of requests to S3 and its like: AWS Signature Version 4, of requests without a body."""

import dataclasses
import datetime
import hashlib
import hmac
import urllib.parse
from collections.abc import Mapping

# The body is empty, and signing its digest would say no more.
_PAYLOAD = "UNSIGNED-PAYLOAD"


@dataclasses.dataclass(frozen=True, slots=True)
class Credentials:
    """`access_key` empty: requests are not signed, which public buckets allow."""

    access_key: str = ""
    secret_key: str = dataclasses.field(default="", repr=False)
    session_token: str = dataclasses.field(default="", repr=False)


def signed_headers(
    credentials: Credentials,
    *,
    region: str,
    method: str,
    host: str,
    path: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    now: datetime.datetime,
) -> dict[str, str]:
    """`headers` with those that a signature adds. `path` is quoted already; header names are lower case."""
    if not credentials.access_key:
        return {**headers, "host": host}
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    signed = {**headers, "host": host, "x-amz-content-sha256": _PAYLOAD, "x-amz-date": stamp}
    if credentials.session_token:
        signed["x-amz-security-token"] = credentials.session_token
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name].strip()}\n" for name in sorted(signed))
    canonical = "\n".join([method, path, query_string(query), lines, names, _PAYLOAD])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + credentials.secret_key).encode()
    for part in (stamp[:8], region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    signed["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return signed


def query_string(query: Mapping[str, str]) -> str:
    """In the order and quoting that are signed."""
    pairs = sorted((quote(name), quote(value)) for name, value in query.items())
    return "&".join(f"{name}={value}" for name, value in pairs)


def quote(text: str, safe: str = "") -> str:
    return urllib.parse.quote(text, safe=safe + "-_.~")
