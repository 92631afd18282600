"""Who may list and change the model repository: who knows the token in the file that the node wrote."""

import hmac
import pathlib

from runtime.inference import InferError

_SCHEME = "bearer "


class Admins:
    """The file is read at each use, so that a new token needs no restart."""

    def __init__(self, token_file: str) -> None:
        self._file = token_file

    def check(self, authorization: str) -> None:
        """Raises InferError 403 for whoever is no admin."""
        if not self._file:
            told = "this replica has no admin token, so nobody may list, load or unload its models"
            raise InferError(403, told, "NOT_ALLOWED")
        try:
            token = pathlib.Path(self._file).read_bytes().strip()
        except OSError:
            token = b""
        given = authorization[len(_SCHEME) :].strip() if authorization.lower().startswith(_SCHEME) else ""
        if not token or not hmac.compare_digest(token, given.encode("utf-8", "replace")):
            told = "only admins may list, load or unload models; send 'authorization: Bearer <admin token>'"
            raise InferError(403, told, "NOT_ALLOWED")
