"""`python -m services.apiserver.resolve`: what the platform would make of a spec, without a platform.

For `cortex run`: the same defaults and the same bounds as a deploy. Takes `{"name", "spec", "files"}` as JSON on stdin
and answers with `{"spec"}` or `{"reason", "message", "violations"}` on stdout.
"""

import json
import sys
from typing import Any

from google.protobuf import json_format

from cortex.apiserver.v1 import spec_pb2
from services.apiserver import convert, drafting
from services.chassis import errors


def resolve(asked: dict[str, Any]) -> dict[str, Any]:
    message = spec_pb2.ApiSpec()
    json_format.ParseDict(asked["spec"], message)
    try:
        spec = drafting.complete(asked["name"], message, frozenset(asked["files"]))
    except errors.CortexError as error:
        violations = [{"field": each.field, "description": each.description} for each in error.violations]
        return {"reason": error.reason, "message": error.message, "violations": violations}
    return {"spec": json_format.MessageToDict(convert.spec_to_pb(spec))}


if __name__ == "__main__":
    json.dump(resolve(json.load(sys.stdin)), sys.stdout)
