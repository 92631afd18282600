"""granian's noop without the model that the shared benchmark's application loads: for a cold start beside ours."""

import orjson

HEADERS = [("content-type", "application/json")]


async def app(scope, proto):
    orjson.loads(await proto())
    proto.response_bytes(200, HEADERS, orjson.dumps({"ok": True}))
