"""A predictor with a .proto of its own, called by generated code at the replica's gRPC door."""

import base64
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import proto_reflection_descriptor_database as reflected
from grpc_status import rpc_status

from runtime import user_service
from tests.runtime.replica import Replica, running, wait_for

PROTO = """
syntax = "proto3";
package shop.v1;
import "google/protobuf/timestamp.proto";
import "shop/parts.proto";

service Texts {
  rpc Count(Text) returns (Counted);
  rpc Words(Text) returns (stream Word);
}
enum Kind { KIND_UNSPECIFIED = 0; LOUD = 1; }
message Text { string text = 1; Kind kind = 2; bytes blob = 3; }
message Counted { int64 words = 1; google.protobuf.Timestamp when = 2; Part part = 3; bytes blob = 4; }
message Word { string word = 1; }
"""

RESERVED = PROTO.replace("package shop.v1", "package cortex.shop").replace("Part part", ".shop.v1.Part part")

PARTS = """
syntax = "proto3";
package shop.v1;
message Part { map<string, string> seen = 1; }
"""

SOURCE = """
import time

class Code:  # as grpc.StatusCode is built
    def __init__(self, value):
        self.value = value

NOT_FOUND = Code((5, "not found"))

class Handler:
    def __init__(self, config, proto_module_pb2):
        self.pb = proto_module_pb2

    def Count(self, payload, context):
        if payload.text == "raise":
            raise ValueError("secret")
        if payload.text == "abort":
            context.set_trailing_metadata((("why", "because"), ("raw-bin", b"\\x00\\xff")))
            context.abort(NOT_FOUND, "no such text")
        if payload.text == "caught":
            try:
                context.abort(NOT_FOUND, "caught")
            except Exception:
                pass
        if payload.text == "set":
            context.set_code(NOT_FOUND)
            context.set_details("set without a raise")
        if payload.text == "wrong":
            return {"words": 1}
        if payload.text == "status":
            error = Exception()
            error.status_code, error.detail = 403, "not yours"
            raise error
        if payload.text == "spin":
            print("spin began")
            while context.is_active():
                time.sleep(0.01)
            print("spin ended")
        seen = {key: str(value) for key, value in context.invocation_metadata()}
        seen["left"] = str(context.time_remaining())
        seen["loud"] = str(payload.kind == self.pb.LOUD) + self.pb.Kind.Name(payload.kind)
        context.send_initial_metadata((("first", "1"),))
        context.set_trailing_metadata((("last", "2"), ("raw-bin", b"\\x00\\xff")))
        counted = self.pb.Counted(words=len(payload.text.split()), part={"seen": seen}, blob=payload.blob)
        counted.when.FromSeconds(1_700_000_000)
        return counted

    def Words(self, payload, context):
        if payload.text == "at once":
            context.abort(NOT_FOUND, "before the first")
        if payload.text == "endless":
            try:
                while True:
                    yield self.pb.Word(word="x" * 100_000)
            finally:
                print("closed")
        for word in payload.text.split():
            if word == "ABORT":
                context.abort(NOT_FOUND, "in the middle", (("last", "2"),))
            if word == "RAISE":
                raise ValueError("secret")
            yield self.pb.Word(word=word)
        context.set_trailing_metadata((("last", "2"),))
"""

ASYNC = SOURCE.replace("    def Count", "    async def Count").replace("    def Words", "    async def Words")
ASYNC = ASYNC.replace("time.sleep(0.01)", "await __import__('asyncio').sleep(0.01)")


def write(folder: pathlib.Path, proto: str = PROTO) -> None:
    project = folder / "project"
    (project / "shop").mkdir(parents=True, exist_ok=True)
    (project / "shop" / "texts.proto").write_text(proto)
    (project / "shop" / "parts.proto").write_text(PARTS)


@pytest.fixture(scope="module", params=["sync", "async"])
def replica(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    folder = tmp_path_factory.mktemp("service")
    write(folder)
    predictor = {"protobufPath": "shop/texts.proto"}
    source = SOURCE if request.param == "sync" else ASYNC
    with running(folder, source, predictor=predictor, config={"grpcAddress": "free"}) as found:
        yield found


class Stub:
    """What generated code would do, from the descriptors that reflection tells."""

    def __init__(self, channel: grpc.Channel) -> None:
        pool = descriptor_pool.DescriptorPool(reflected.ProtoReflectionDescriptorDatabase(channel))
        service = pool.FindServiceByName("shop.v1.Texts")
        text, counted, word = (
            message_factory.GetMessageClass(pool.FindMessageTypeByName(f"shop.v1.{name}"))
            for name in ("Text", "Counted", "Word")
        )
        assert [method.name for method in service.methods] == ["Count", "Words"]
        self.Text: Any = text
        path = f"/{service.full_name}/"
        self.Count: Any = channel.unary_unary(f"{path}Count", text.SerializeToString, counted.FromString)
        self.Words: Any = channel.unary_stream(f"{path}Words", text.SerializeToString, word.FromString)
        self.raw: Any = channel.unary_unary(f"{path}Count")


@pytest.fixture
def stub(replica: Replica) -> Iterator[Stub]:
    with grpc.insecure_channel(replica.grpc_address) as channel:
        yield Stub(channel)


def test_a_message_in_and_a_message_out(stub: Stub) -> None:
    metadata = (("key", "value"), ("raw-bin", b"\x01"), ("x-request-id", "mine"))
    answer, call = stub.Count.with_call(
        stub.Text(text="a b c", kind=1, blob=b"z" * 300_000), metadata=metadata, timeout=9
    )
    assert (answer.words, answer.when.seconds, len(answer.blob)) == (3, 1_700_000_000, 300_000)
    seen = answer.part.seen
    assert (seen["key"], seen["raw-bin"], seen["loud"]) == ("value", "b'\\x01'", "TrueLOUD")
    assert 8 < float(seen["left"]) < 9.5
    assert "x-cortex-deadline" not in seen
    initial, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
    assert (initial["x-request-id"], initial["first"]) == ("mine", "1")
    assert (trailing["last"], trailing["raw-bin"]) == ("2", b"\x00\xff")


def test_a_stream_of_messages(stub: Stub) -> None:
    call = stub.Words(stub.Text(text=" ".join(str(number) for number in range(1000))))
    assert [word.word for word in call] == [str(number) for number in range(1000)]
    assert dict(call.trailing_metadata())["last"] == "2"
    assert list(stub.Words(stub.Text(text=""))) == []


@pytest.mark.parametrize(
    ("text", "code", "details"),
    [
        ("abort", grpc.StatusCode.NOT_FOUND, "no such text"),
        ("caught", grpc.StatusCode.NOT_FOUND, "caught"),
        ("set", grpc.StatusCode.NOT_FOUND, "set without a raise"),
        ("status", grpc.StatusCode.PERMISSION_DENIED, "not yours"),
        ("raise", grpc.StatusCode.INTERNAL, "internal server error"),
        ("wrong", grpc.StatusCode.INTERNAL, "internal server error"),
    ],
)
def test_the_status_that_user_code_chooses(stub: Stub, text: str, code: Any, details: str) -> None:
    failed: Any
    with pytest.raises(grpc.RpcError) as failed:
        stub.Count(stub.Text(text=text))
    assert (failed.value.code(), failed.value.details()) == (code, details)
    if text == "abort":
        trailing = dict(failed.value.trailing_metadata())
        assert (trailing["why"], trailing["raw-bin"]) == ("because", b"\x00\xff")
    if text == "raise":
        status = rpc_status.from_call(failed.value)
        info = error_details_pb2.ErrorInfo()
        assert status is not None and status.details[0].Unpack(info)
        assert (info.reason, info.metadata["http_status"]) == ("ERROR_REASON_PREDICTOR_FAILED", "500")


@pytest.mark.parametrize(
    ("text", "words", "code", "details"),
    [
        ("at once", [], grpc.StatusCode.NOT_FOUND, "before the first"),
        ("a b ABORT c", ["a", "b"], grpc.StatusCode.NOT_FOUND, "in the middle"),
        ("a RAISE", ["a"], grpc.StatusCode.INTERNAL, "the predictor failed in the middle of its answer"),
        ("RAISE", [], grpc.StatusCode.INTERNAL, "internal server error"),
    ],
)
def test_a_stream_that_fails(stub: Stub, text: str, words: list[str], code: Any, details: str) -> None:
    call = stub.Words(stub.Text(text=text))
    got = []
    failed: Any
    with pytest.raises(grpc.RpcError) as failed:
        for word in call:
            got.append(word.word)
    assert (got, failed.value.code(), failed.value.details()) == (words, code, details)


def test_what_is_no_message_and_who_asks_wrongly(replica: Replica, stub: Stub) -> None:
    failed: Any
    with pytest.raises(grpc.RpcError) as failed:
        stub.raw(b"\xff\xff\xff")
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "no shop.v1.Text" in str(failed.value.details())
    answer = replica.client.post("/", json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "OPTIONS")


def test_a_deadline_and_a_caller_who_leaves(replica: Replica, stub: Stub) -> None:
    late: Any
    with pytest.raises(grpc.RpcError) as late:
        stub.Count(stub.Text(text="spin"), timeout=0.3)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    seen = stub.Count(stub.Text(text="a"), metadata=(("x-request-timeout-ms", "9000"),)).part.seen
    assert 0 < float(seen["left"]) <= 9
    call = stub.Words(stub.Text(text="endless"))
    assert len(next(call).word) == 100_000
    call.cancel()
    replica.wait_line("closed")
    assert stub.Count(stub.Text(text="a")).words == 1


def test_the_large_messages_of_a_slow_reader_are_held(replica: Replica, stub: Stub) -> None:
    call = stub.Words(stub.Text(text="endless"))
    first = next(call)
    end = time.monotonic() + 5
    got = 1
    while got < 50 and time.monotonic() < end:
        assert next(call) == first
        got += 1
    call.cancel()
    assert got == 50
    wait_for(lambda: stub.Count(stub.Text(text="a b")).words == 2)


@pytest.mark.parametrize(
    ("proto", "source", "told"),
    [
        (PROTO.replace("rpc Count(Text)", "rpc Count(stream Text)"), SOURCE, "streams its requests"),
        (PROTO.replace("returns (Counted)", "returns (Nothing)"), SOURCE, '"Nothing" is not defined'),
        (PROTO + "service Other {}", SOURCE, "must have one service; it has 2"),
        (RESERVED, SOURCE, "is the platform's"),
        (PROTO, SOURCE.replace("def Words", "def Other"), "Words() is missing: shop.v1.Texts has an RPC of this name"),
        (PROTO, SOURCE.replace("payload, context", "payload, headers"), "asks for 'headers'"),
        ("", SOURCE, "has no file"),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_said_at_the_start(tmp_path: pathlib.Path, proto: str, source: str, told: str) -> None:
    write(tmp_path, proto)
    path = "shop/texts.proto" if proto else "missing.proto"
    with running(tmp_path, source, predictor={"protobufPath": path}, ready=False) as failing:
        assert failing.process.wait(15) == 1
        failure = failing.state["failure"]
    assert told in failure["message"]
    assert failure["reason"].endswith("INVALID_PREDICTOR")


EARLIER = """
class PythonPredictor:
    def __init__(self, config, proto_module_pb2):
        self.pb = proto_module_pb2

    def predict(self, payload, context):
        for word in payload.text.split():
            yield self.pb.Word(word=word)
"""


def test_the_one_rpc_of_earlier_predictors(tmp_path: pathlib.Path) -> None:
    """Of 0.32 and 0.33: the RPC is called `Predict`, its method `predict`, and HTTP has none."""
    write(tmp_path, PROTO.replace("  rpc Count(Text) returns (Counted);\n", "").replace("rpc Words", "rpc Predict"))
    predictor, config = {"protobufPath": "shop/texts.proto"}, {"grpcAddress": "free"}
    with running(tmp_path, EARLIER, predictor=predictor, config=config) as found:
        with grpc.insecure_channel(found.grpc_address) as channel:
            pool = descriptor_pool.DescriptorPool(reflected.ProtoReflectionDescriptorDatabase(channel))
            types = [pool.FindMessageTypeByName(f"shop.v1.{name}") for name in ("Text", "Word")]
            text, word = (message_factory.GetMessageClass(each) for each in types)
            call: Any = channel.unary_stream("/shop.v1.Texts/Predict", text.SerializeToString, word.FromString)
            assert [each.word for each in call(text(text="a b"), timeout=20)] == ["a", "b"]
        assert found.client.post("/", content=b"{}").status_code == 405


OLD = """
import base64, sys
sys.path.insert(0, sys.argv[1])
from runtime.shim import rpc_messages
from google.protobuf import timestamp_pb2
import google.protobuf
messages = rpc_messages.Messages(base64.b64decode(sys.stdin.read()))
module = messages.module("shop/texts.proto")
assert module.shop_dot_parts__pb2.Part(seen={"a": "b"}).seen["a"] == "b"
counted = module.Counted(words=5, when=timestamp_pb2.Timestamp(seconds=7))
assert messages.get("shop.v1.Counted").FromString(counted.SerializeToString()).when.seconds == 7
assert module.LOUD == 1 and module.Kind.Value("LOUD") == 1
print(google.protobuf.__version__)
"""


@pytest.mark.parametrize("version", ["3.20.3", "4.21.12", "5.29.5", "6.33.5"])
def test_any_protobuf_of_the_user_will_do(tmp_path: pathlib.Path, version: str) -> None:
    write(tmp_path)
    service = user_service.compile_file(tmp_path / "project", "shop/texts.proto")
    cache = pathlib.Path.home() / ".cache" / "cortex-test" / f"protobuf-{version}"
    if not (cache / "google" / "protobuf" / "__init__.py").exists():
        command = ["uv", "pip", "install", "--quiet", "--target", str(cache), f"protobuf=={version}"]
        subprocess.run(command, check=True)
    root = pathlib.Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-S", "-c", OLD, str(root)],
        input=base64.b64encode(service.files), env={"PYTHONPATH": str(cache)}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.stdout.decode().strip() == version, done.stderr.decode()
