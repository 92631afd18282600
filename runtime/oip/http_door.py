"""The paths below /v2: what each answers, and which requests may ask."""

import asyncio
import functools
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import msgspec

from runtime import errors
from runtime.bodies import Bodies
from runtime.config import Settings
from runtime.http_exchange import Exchange
from runtime.inference import InferError, InferRequest, InferResponse
from runtime.mounts import Visit
from runtime.oip import compression, generate, http_request, http_response, parameters, shared_memory, strict_json
from runtime.oip.admin import Admins
from runtime.oip.direct_call import DirectCall
from runtime.oip.predictor_engine import PredictorEngine
from runtime.oip.registry import Registry
from runtime.oip.server import EXTENSIONS, NAME, version
from runtime.scribe import INLINE_BYTES, Scribe

_JSON = b"application/json"
_READ = (b"GET", b"HEAD")
_INFLATING = 4  # bodies at a time
_LOAD_DECODER = msgspec.json.Decoder(dict[str, Any])
_NO_TRACES = "trace and log settings belong to the platform; see `cortex logs` and the OTEL_* variables"
_NO_CUDA = "CUDA shared memory is not for callers of an API; send the tensors as binary data"


class _RegionJson(msgspec.Struct):
    key: str
    byte_size: int
    offset: int = 0


_REGION_DECODER = msgspec.json.Decoder(_RegionJson)


class OipDoor:
    """Handler of the mount `v2`."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        bodies: Bodies,
        ready: Callable[[], bool],
        wants_headers: Callable[[], bool],
        regions: shared_memory.Regions,
        predictor: PredictorEngine | None,
        scribe: Scribe,
    ) -> None:
        self._predictor = predictor
        self._scribe = scribe
        self.regions = regions
        self._settings = settings
        self._registry = registry
        self._bodies = bodies
        self._ready = ready
        self._wants_headers = wants_headers
        # Each is taken for as large as it may get, so more at a time would fill the account with next to nothing.
        self._inflating = asyncio.Semaphore(_INFLATING)
        self._admins = Admins(settings.admin_token_file)

    def quick(self, visit: Visit) -> bool:
        """Infer of the predictor in its plainest form, which is nearly all there is."""
        parts = visit.path.split(b"/")
        plain = len(parts) == 3 and parts[0] == b"models" and parts[2] == b"infer" and visit.method == b"POST"
        if not plain or b"%" in parts[1] or visit.header(b"content-encoding"):
            return False
        if (accept := visit.header(b"accept-encoding")) and compression.wanted(accept):
            return False
        model = parts[1].decode("latin-1")
        engine = self._predictor
        if engine is None or not engine.owns(model):
            return False
        if http_request.is_large(visit.exchange.body, visit.header(http_response.LENGTH_HEADER)):
            return False
        visit.exchange.on_cancel = _nothing  # from here on we say who counts it
        try:
            self._begin(visit, engine, model)
        except InferError as error:
            visit.fail(error.failure)
        except Exception as error:
            asyncio.get_running_loop().call_exception_handler({"message": "/v2 failed", "exception": error})
            if not visit.answered:
                visit.fail(errors.INTERNAL)
        return True

    def _begin(self, visit: Visit, engine: PredictorEngine, model: str) -> None:
        regions, json_size = functools.partial(self._regions_for, visit), visit.header(http_response.LENGTH_HEADER)
        request, wish = http_request.parse(visit.exchange.body, json_size, model, "", regions)
        self._address(visit, request)
        call = DirectCall(engine, visit, wish, regions, self._scribe)
        visit.exchange.on_cancel = functools.partial(engine.leave, call)
        try:
            engine.begin(request, call)
        finally:
            visit.counted = request.counted

    async def __call__(self, visit: Visit) -> None:
        parts = [unquote(part) for part in visit.path.decode("latin-1").split("/")] if visit.path else []
        while parts and not parts[-1]:
            parts.pop()  # a slash at the end
        if len(parts) >= 2 and parts[0] == "models":
            await self._model(visit, parts[1:])
        elif len(parts) >= 2 and parts[0] == "repository":
            await self._repository(visit, parts[1:])
        else:
            await self._server(visit, "/".join(parts))

    # The server.

    async def _server(self, visit: Visit, path: str) -> None:
        if path == "":
            _verb(visit, *_READ)
            _json(visit, 200, {"name": NAME, "version": version(), "extensions": list(EXTENSIONS)})
        elif path == "health/live":
            _verb(visit, *_READ)
            _json(visit, 200, {"live": True})
        elif path == "health/ready":
            _verb(visit, *_READ)
            ready = self._ready()
            _json(visit, 200 if ready else 503, {"ready": ready})
        elif path in ("models/stats", "models"):
            _verb(visit, *_READ)
            _json(visit, 200, {"model_stats": await self._registry.statistics("", "")})
        elif path in ("trace/setting", "logging"):
            raise InferError(501, _NO_TRACES, "NOT_IMPLEMENTED")
        elif path.startswith("systemsharedmemory"):
            self._memory(visit, path.split("/")[1:])
        elif path.startswith("cudasharedmemory"):
            _cuda(visit, path.rpartition("/")[2])

    # One model.

    async def _model(self, visit: Visit, parts: list[str]) -> None:
        model, *rest = parts
        if parts == ["stats"]:
            await self._server(visit, "models/stats")
            return
        told = ""
        if len(rest) >= 2 and rest[0] == "versions":
            told, rest = rest[1], rest[2:]
        action = "/".join(rest)
        if action in ("infer", "infer_stream", "generate", "generate_stream"):
            _verb(visit, b"POST")
            await self._compute(visit, action, model, told)
        elif action == "trace/setting":
            raise InferError(501, _NO_TRACES, "NOT_IMPLEMENTED")
        elif action in ("", "ready", "config", "stats"):
            _verb(visit, *_READ)
            await self._describe(visit, action, model, told)

    async def _describe(self, visit: Visit, action: str, model: str, told: str) -> None:
        if action == "":
            found = await self._registry.metadata(model, told)
            _json(visit, 200, msgspec.to_builtins(found))
        elif action == "ready":
            ready = await self._registry.is_ready(model, told)
            _json(visit, 200 if ready else 503, {"name": model, "ready": ready})
        elif action == "config":
            _json(visit, 200, dict(await self._registry.config(model, told)))
        else:
            _json(visit, 200, {"model_stats": await self._registry.statistics(model, told)})

    async def _compute(self, visit: Visit, action: str, model: str, told: str) -> None:
        encoding = visit.header(b"content-encoding")
        if not encoding:
            await self._infer(visit, action, model, told, visit.body)
            return
        body = await self._decompressed(visit.body, encoding)
        try:
            await self._infer(visit, action, model, told, body)
        finally:
            self._bodies.give_back(len(body))

    async def _decompressed(self, body: bytes, encoding: bytes) -> bytes:
        """On the account of all bodies until it is given back, and at its worst size until its own is known."""
        limit = self._settings.max_request_bytes
        async with self._inflating:
            if self._bodies.full:
                raise InferError(503, errors.BODIES_FULL.text, errors.BODIES_FULL.reason, 1)
            held = compression.most(len(body), limit)
            self._bodies.keep(None, held)
            try:
                found = await compression.decompress(body, encoding, limit)
                self._bodies.keep(None, len(found))
            finally:
                self._bodies.give_back(held)
        return found

    async def _infer(self, visit: Visit, action: str, model: str, told: str, body: bytes) -> None:
        if action in ("generate", "generate_stream"):
            engine = self._registry.of(model)
            request = InferRequest(model, told, "", [])
            self._address(visit, request)
            try:
                streamed = action == "generate_stream"
                await generate.answer(visit, engine, request, body, self._scribe, streamed=streamed)
            finally:
                visit.counted = request.counted
            return
        json_size = visit.header(http_response.LENGTH_HEADER)
        regions = functools.partial(self._regions_for, visit)
        if http_request.is_large(body, json_size):
            limit = self._limit(visit.exchange)
            body, json_size = await self._scribe.ask(http_request.binary, body, json_size, deadline=limit)
            visit.exchange.hold(len(body))
        request, wish = http_request.parse(body, json_size, model, told, regions)
        self._address(visit, request)
        try:
            if action == "infer":
                response = await self._registry.infer(request)
                await self._reply(visit, *await self._told(response, wish, regions))
            else:
                await generate.stream(visit, self._registry.stream(request), http_response.event, self._scribe)
        finally:
            visit.counted = request.counted

    def _limit(self, exchange: Exchange) -> float:
        """The deadline as far as the head tells; 0 for none."""
        limits = [limit for limit in (self._settings.request_timeout, exchange.timeout) if limit]
        return exchange.began + min(limits) if limits else 0.0

    def _address(self, visit: Visit, request: InferRequest) -> None:
        """What the request's way through the front needs."""
        exchange = visit.exchange
        request.began = exchange.began
        request.deadline = parameters.deadline(request.parameters, exchange.began, self._limit(exchange))
        request.request_id = exchange.request_id
        request.traceparent = exchange.fields[5]
        request.attempt = exchange.attempt
        if self._wants_headers():
            pairs = [field.decode("latin-1") for field in exchange.fields[6:]]
            request.headers = dict(zip(pairs[::2], pairs[1::2], strict=True))

    async def _told(
        self, response: InferResponse, wish: http_request.Wish, regions: http_request.Regions
    ) -> http_response.Reply:
        if http_response.is_large(response, wish):
            return await http_response.large_reply(self._scribe, response, wish, regions)
        return http_response.reply(response, wish, regions)

    async def _reply(self, visit: Visit, kind: bytes, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        accept = visit.header(b"accept-encoding")
        if accept and (encoding := compression.wanted(accept)):
            smaller = await compression.compress(body, encoding)
            if smaller is not None:
                body, headers = smaller, [*headers, (b"content-encoding", encoding)]
        visit.reply(200, kind, body, headers)

    # Shared memory.

    def _regions_for(self, visit: Visit) -> shared_memory.Regions:
        shared_memory.check_caller(visit.exchange.peer, visit.exchange.attempt)
        return self.regions

    def _memory(self, visit: Visit, parts: list[str]) -> None:
        name = parts[1] if len(parts) == 3 and parts[0] == "region" else ""
        action = parts[-1] if len(parts) == (3 if name else 1) else ""
        regions = self._regions_for(visit)
        if action == "status":
            _verb(visit, *_READ)
            _json(visit, 200, regions.status(name))
        elif action == "unregister":
            _verb(visit, b"POST")
            regions.unregister(name)
            visit.reply(200, _JSON, b"{}")
        elif action == "register" and name:
            _verb(visit, b"POST")
            _check_small(visit)
            told = strict_json.decode(_REGION_DECODER, visit.body)
            regions.register(name, told.key, told.offset, told.byte_size)
            visit.reply(200, _JSON, b"{}")

    # The repository.

    async def _repository(self, visit: Visit, parts: list[str]) -> None:
        if parts[0] not in ("index", "models"):
            parts = parts[1:]  # the name of a repository, of which there is one
        if parts == ["index"]:
            _verb(visit, b"POST", *_READ)
            self._check_admin(visit)
            await self._index(visit)
        elif len(parts) == 3 and parts[0] == "models" and parts[2] in ("load", "unload"):
            _verb(visit, b"POST")
            self._check_admin(visit)
            told = _object(visit.body).get("parameters") or {}
            if not isinstance(told, dict):
                raise InferError(400, "'parameters' must be an object")
            if parts[2] == "load":
                await self._registry.load(parts[1], told)
            else:
                await self._registry.unload(parts[1], dependents=told.get("unload_dependents") is True)
            visit.reply(200, _JSON, b"{}")

    def _check_admin(self, visit: Visit) -> None:
        self._admins.check(visit.header(b"authorization").decode("latin-1"))

    async def _index(self, visit: Visit) -> None:
        _check_small(visit)
        only_ready = _object(visit.body).get("ready") is True
        entries = await self._registry.index()
        told = [msgspec.to_builtins(entry) for entry in entries if entry.state == "READY" or not only_ready]
        _json(visit, 200, told)


def _nothing() -> None:
    """Nobody to tell that the caller left."""


def _cuda(visit: Visit, action: str) -> None:
    """There is none, so there is nothing to tell of it or to give up: clients begin with giving up what was left."""
    if action == "status":
        _verb(visit, *_READ)
        _json(visit, 200, [])
    elif action == "unregister":
        _verb(visit, b"POST")
        visit.reply(200, _JSON, b"{}")
    elif action == "register":
        raise InferError(501, _NO_CUDA, "NOT_IMPLEMENTED")


def _object(body: bytes) -> dict[str, Any]:
    """Of few words, but for the files of a model, which only admins may send."""
    return strict_json.decode(_LOAD_DECODER, body) if body.strip() else {}


def _check_small(visit: Visit) -> None:
    if len(visit.exchange.body) > INLINE_BYTES:
        raise InferError(413, f"this path takes at most {INLINE_BYTES} bytes", "PAYLOAD_TOO_LARGE")


def _verb(visit: Visit, *allowed: bytes) -> None:
    if visit.method not in allowed:
        told = ", ".join(verb.decode() for verb in allowed)
        raise InferError(405, f"this path answers to {told} only", "NOT_IMPLEMENTED", headers=(("allow", told),))


def _json(visit: Visit, status: int, value: Any) -> None:
    visit.reply(status, _JSON, strict_json.encode(value), [] if status < 500 else [(b"retry-after", b"1")])
