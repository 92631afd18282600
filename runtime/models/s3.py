"""Models in S3 or a store that speaks as S3 does: listing objects, and saying what went wrong in words that help."""

import socket
import ssl
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
        query = {"list-type": "2", "prefix": self.prefix}
        while True:
            page = self._page(connection, query)
            for entry in page.findall("{*}Contents"):
                if (file := self._file(entry)) is not None:
                    found.append(file)
            if len(found) > _MOST_FILES:
                raise SourceError(f"models: there are more than {_MOST_FILES} files in {self.url}", is_final=True)
            token = page.findtext("{*}NextContinuationToken")
            if page.findtext("{*}IsTruncated") != "true" or not token:
                break
            query["continuation-token"] = token
        if not found:
            raise SourceError(f"models: nothing is at {self.url}; upload the model or mend the path", is_final=True)
        exact = [file for file in found if not file.path]
        return exact or found

    def _page(self, connection: Connection, query: Mapping[str, str]) -> ElementTree.Element:
        for left in reversed(range(_TRIES)):
            try:
                connection.request("GET", "", query)
                return ElementTree.fromstring(connection.document())  # noqa: S314  # expat refuses entity bombs
            except StoreError as error:
                if (error.is_final and not self._moved(error)) or not left:
                    raise
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

    def _file(self, entry: ElementTree.Element) -> File | None:
        key = entry.findtext("{*}Key") or ""
        below = key[len(self.prefix) :]
        if self.prefix and below and not below.startswith("/"):
            return None  # another name that begins in the same way
        path = below.lstrip("/")
        if key.endswith("/") or any(part in ("", ".", "..") for part in path.split("/") if path):
            return None  # a marker of a folder, or a name that is no path
        return File(path, int(entry.findtext("{*}Size") or 0), (entry.findtext("{*}ETag") or "").strip('"'))


def explain(url: str, bucket: Bucket, error: Exception) -> SourceError:
    """What went wrong, where, and what to do about it."""
    where = bucket.endpoint or f"AWS, region {bucket.region}"
    if isinstance(error, StoreError):
        advice = {
            401: "check the AWS_* credentials of the node",
            403: "give the node's credentials (AWS_* variables or its role) s3:GetObject and s3:ListBucket there",
            404: "check the bucket and the path",
        }.get(error.status, "it is tried again")
        return SourceError(f"models: {url} at {where}: {error}; {advice}", is_final=error.is_final)
    if isinstance(error, socket.gaierror):
        return SourceError(f"models: {url}: the host of {where} is not known; check AWS_ENDPOINT_URL", is_final=False)
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"models: {url} at {where}: {error.verify_message}; AWS_CA_BUNDLE may name the right certificates"
        return SourceError(text, is_final=True)
    return SourceError(f"models: {url}: {where} cannot be reached: {error}", is_final=False)
