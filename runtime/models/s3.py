"""Models in S3 or a store that speaks as S3 does: listing objects, and saying what went wrong in words that help."""

import pathlib
import socket
import ssl
import urllib.parse
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping

from runtime.models.layout import File
from runtime.models.object_http import Bucket, Connection, StoreError
from runtime.models.sources import SourceError

_MOST_FILES = 200_000
_TRIES = 3


class S3Source:
    """`s3://bucket/prefix`: an object of that name, or all objects below it."""

    is_local = False
    is_fixed = False

    def __init__(self, url: str, environ: Mapping[str, str]) -> None:
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise SourceError(f"models: {url!r} names no bucket; expected s3://bucket/prefix", is_final=True)
        self.url = url
        self.prefix = prefix.strip("/")
        self.bucket = Bucket(bucket, environ)
        _check(self.bucket.endpoint, environ.get("AWS_CA_BUNDLE", ""))

    def key(self, root: str, path: str) -> str:
        """The key of a file that `files` found, below the folder `root` of a version."""
        return "/".join(part for part in (self.prefix, root, path) if part)

    def files(self) -> list[File]:
        connection = Connection(self.bucket)
        try:
            return self._list(connection)
        except (StoreError, OSError) as error:
            raise explain(self.url, self.bucket, error) from None
        finally:
            connection.close()

    def _list(self, connection: Connection) -> list[File]:
        found: list[File] = []
        left_out = ""
        # In XML a key may hold letters that XML forbids; quoted it may not.
        query = {"list-type": "2", "prefix": self.prefix, "encoding-type": "url"}
        while True:
            page = self._page(connection, query)
            is_quoted = page.findtext("{*}EncodingType") == "url"
            for entry in page.findall("{*}Contents"):
                text = entry.findtext("{*}Key") or ""
                key = urllib.parse.unquote_plus(text) if is_quoted else text
                path = self._below(key)
                if path is None or key.endswith("/"):
                    continue  # another name that begins in the same way; the marker of a folder
                if _is_path(path):
                    found.append(_file(path, entry))
                else:
                    left_out = left_out or key
            if len(found) > _MOST_FILES:
                raise SourceError(f"models: there are more than {_MOST_FILES} files in {self.url}", is_final=True)
            token = page.findtext("{*}NextContinuationToken")
            if page.findtext("{*}IsTruncated") != "true" or not token:
                break
            query["continuation-token"] = token
        if not found:
            text = f"models: nothing is at {self.url}; upload the model or mend the path"
            if left_out:
                text += f" (keys such as {left_out!r} are no paths: a part is empty, `.` or `..`)"
            raise SourceError(text, is_final=True)
        exact = [file for file in found if not file.path]
        return exact or found

    def _page(self, connection: Connection, query: Mapping[str, str]) -> ElementTree.Element:
        for left in reversed(range(_TRIES)):
            try:
                connection.request("GET", "", query)
                page = ElementTree.fromstring(connection.document())  # noqa: S314  # expat refuses entity bombs
                if not page.tag.endswith("ListBucketResult"):
                    raise StoreError(0, f"the answer to a listing is <{page.tag}>; is this an object store?")
                return page
            except StoreError as error:
                if not left or (not self._moved(error) and error.is_final):
                    raise
                connection.close()  # where the bucket is may be another host
            except OSError:
                if not left:
                    raise
            except ElementTree.ParseError:
                raise StoreError(0, "the answer to a listing is no XML; is this an object store?") from None
        raise AssertionError("the last try returns or raises")

    def _moved(self, error: StoreError) -> bool:
        """AWS tells in which region a bucket is when asked in another one."""
        region = error.headers.get("x-amz-bucket-region", "")
        if not region or region == self.bucket.region:
            return False
        self.bucket.region = region
        return True

    def _below(self, key: str) -> str | None:
        if key == self.prefix or not self.prefix:
            return key[len(self.prefix) :]
        return key[len(self.prefix) + 1 :] if key.startswith(f"{self.prefix}/") else None


def _is_path(text: str) -> bool:
    """Empty is one, too: that of the location itself."""
    return "\0" not in text and not (text and any(part in ("", ".", "..") for part in text.split("/")))


def _file(path: str, entry: ElementTree.Element) -> File:
    size = entry.findtext("{*}Size") or "0"
    if not size.isdecimal():
        raise StoreError(0, f"the listing has a size that is none: {size[:80]!r}")
    return File(path, int(size), (entry.findtext("{*}ETag") or "").strip('"'))


def _check(endpoint: str, ca_bundle: str) -> None:
    """Raises SourceError for what could only fail later, in words that do not name the variable."""
    if ca_bundle and not pathlib.Path(ca_bundle).exists():
        raise SourceError(f"models: AWS_CA_BUNDLE names {ca_bundle}, which is not there", is_final=True)
    try:
        told = urllib.parse.urlsplit(endpoint)
        if endpoint and (told.scheme not in ("http", "https") or not told.hostname or told.port == 0):
            raise ValueError
    except ValueError:
        text = f"models: AWS_ENDPOINT_URL is {endpoint!r}; expected a URL such as http://localhost:9000"
        raise SourceError(text, is_final=True) from None


_ADVICE = {
    "ExpiredToken": "renew the credentials",
    "TokenRefreshRequired": "renew the credentials",
    "RequestTimeTooSkewed": "set the clock of this machine",
    "AuthorizationHeaderMalformed": "check AWS_REGION",
    "NoRange": "name a store that answers ranged reads, and nothing before it that changes them",
}
_WRONG_KEYS = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AuthFailure"})


def _advice(bucket: Bucket, error: StoreError) -> str:
    if not error.is_final:
        return "it is tried again"
    if error.code in _ADVICE:
        return _ADVICE[error.code]
    if error.status == 404:
        return "check the bucket and the path"
    if error.status == 412:
        return "it was replaced meanwhile, and the new one is fetched"
    if error.status < 400:
        return "the bucket is elsewhere; check AWS_REGION and AWS_ENDPOINT_URL"
    if error.status in (401, 403) and bucket.is_anonymous:
        return "there are no credentials: give the node, or the API's env, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if error.status == 403 and error.code not in _WRONG_KEYS:
        return "give the node's credentials (AWS_* variables or its role) s3:GetObject and s3:ListBucket there"
    return "check the AWS_* credentials and the region of the node"


def explain(url: str, bucket: Bucket, error: Exception) -> SourceError:
    """What went wrong, where, and what to do about it."""
    where = bucket.endpoint or f"AWS, region {bucket.region}"
    if isinstance(error, StoreError):
        return SourceError(f"models: {url} at {where}: {error}; {_advice(bucket, error)}", is_final=error.is_final)
    if isinstance(error, socket.gaierror):
        return SourceError(f"models: {url}: the host of {where} is not known; check AWS_ENDPOINT_URL", is_final=False)
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"models: {url} at {where}: {error.verify_message}; AWS_CA_BUNDLE may name the right certificates"
        return SourceError(text, is_final=True)
    return SourceError(f"models: {url}: {where} cannot be reached: {error}", is_final=False)
