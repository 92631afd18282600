"""The OpenAI routes against a real replica, spoken to by the official client."""

import base64
import json
import os
import signal
import struct
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.runtime.replica import Replica, readers, running, wait_for

TEXT = """
import time

class HTTPException(Exception):
    def __init__(self, status_code, detail):
        self.status_code, self.detail = status_code, detail

def words(text):
    return [word + " " for word in text.split()]

class PythonPredictor:
    def predict(self, payload):
        told = payload["messages"][-1]["content"] if "messages" in payload else payload["prompt"]
        mode, _, text = told.partition(":") if isinstance(told, str) else ("tokens", "", str(told))
        return getattr(self, mode)(text, payload)

    def pieces(self, text, payload):
        for word in words(text)[: payload.get("max_tokens")]:
            yield word

    def dicts(self, text, payload):
        for count, word in enumerate(words(text), 1):
            yield {"text": word, "completion_tokens": count, "prompt_tokens": 3}
        yield {"finish_reason": "length"}

    def plain(self, text, payload):
        return text

    def tokens(self, text, payload):
        return {"text": text, "prompt_tokens": 2, "completion_tokens": 1}

    def several(self, text, payload):
        return [text + str(number) for number in range(payload["n"])]

    def whole(self, text, payload):
        return {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}, "system_fingerprint": "mine"}

    def tool(self, text, payload):
        name = payload["tools"][0]["function"]["name"]
        call = {"id": "c1", "type": "function", "function": {"name": name, "arguments": "{}"}}
        return {"tool_calls": [call], "finish_reason": "tool_calls"}

    def echo(self, text, payload):
        import json
        return json.dumps(payload)

    def refuse(self, text, payload):
        raise HTTPException(422, {"message": "too hot", "param": "temperature", "code": "too_hot"})

    def fail(self, text, payload):
        raise ValueError("secret")

    def wrong(self, text, payload):
        return 5

    def broken(self, text, payload):
        yield "begun"
        raise ValueError("in the middle")

    def slow(self, text, payload):
        for _ in range(3000):
            time.sleep(0.01)

    def endless(self, text, payload):
        try:
            while True:
                yield "again "
        finally:
            print("closed")

    def flood(self, text, payload):
        for count in range(1_000_000):
            print("yielded", count)
            yield "x" * 60_000
"""

VECTORS = """
try:
    import numpy
except ImportError:
    numpy = None

class PythonPredictor:
    def predict(self, payload):
        vectors = [[float(len(text)), 0.5, -1.0][: payload.get("dimensions")] for text in payload["input"]]
        if payload.get("user") == "counts":
            return {"embeddings": vectors, "prompt_tokens": 7}
        if payload.get("user") == "short":
            return vectors[1:]
        return vectors if numpy is None else numpy.array(vectors, dtype="float32")
"""


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    with running(
        tmp_path_factory.mktemp("openai"), TEXT, predictor={"task": "PREDICTOR_TASK_TEXT_GENERATION"}
    ) as found:
        yield found


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    folder = tmp_path_factory.mktemp("vectors")
    with (
        running(folder, VECTORS, predictor={"task": "PREDICTOR_TASK_EMBEDDING"}) as found,
        openai.OpenAI(base_url=f"{found.client.base_url}/v1", api_key="none", max_retries=0) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def client(replica: Replica) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{replica.client.base_url}/v1", api_key="none", max_retries=0) as found:
        yield found


def chat(client: openai.OpenAI, text: str, **more: Any) -> Any:
    return client.chat.completions.create(model="demo", messages=[{"role": "user", "content": text}], **more)


@pytest.mark.parametrize(
    ("text", "content", "reason"),
    [
        ("pieces:one two three", "one two three ", "stop"),
        ("dicts:one two", "one two ", "length"),
        ("plain:hello", "hello", "stop"),
        ("whole:hello", "hello", "stop"),
        ("pieces:", "", "stop"),
    ],
)
def test_chat_streamed_and_not(client: openai.OpenAI, text: str, content: str, reason: str) -> None:
    whole = chat(client, text)
    assert (whole.object, whole.model) == ("chat.completion", "demo")
    assert (whole.choices[0].message.role, whole.choices[0].message.content) == ("assistant", content)
    assert whole.choices[0].finish_reason == reason
    chunks = list(chat(client, text, stream=True))
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"} and len({c.id for c in chunks}) == 1
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason] == [reason]


def test_tokens_are_counted_by_the_predictor(client: openai.OpenAI) -> None:
    usage = chat(client, "dicts:one two").usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (3, 2, 5)
    assert chat(client, "plain:a").usage is None
    chunks = list(chat(client, "dicts:one two", stream=True, stream_options={"include_usage": True}))
    assert (chunks[-1].choices, chunks[-1].usage.total_tokens) == ([], 5)
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_what_the_request_says_reaches_the_predictor(client: openai.OpenAI) -> None:
    assert chat(client, "pieces:a b c", max_tokens=2).choices[0].message.content == "a b "
    told = json.loads(
        chat(client, "echo:", temperature=0.25, stop=["x"], seed=4, extra_body={"top_k": 5}).choices[0].message.content
    )
    assert (told["temperature"], told["stop"], told["seed"], told["top_k"]) == (0.25, ["x"], 4, 5)
    answer = chat(client, "several:v", n=3)
    assert [choice.message.content for choice in answer.choices] == ["v0", "v1", "v2"]
    tools: Any = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    choice = chat(client, "tool:", tools=tools).choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert choice.message.tool_calls[0].function.name == "look"
    streamed = list(chat(client, "tool:", tools=tools, stream=True))
    assert streamed[0].choices[0].delta.tool_calls[0].function.name == "look"
    assert chat(client, "whole:a").system_fingerprint == "mine"


def test_completions_of_one_prompt_and_of_several(client: openai.OpenAI) -> None:
    one = client.completions.create(model="demo", prompt="dicts:one two")
    assert (one.object, one.choices[0].text, one.choices[0].finish_reason) == ("text_completion", "one two ", "length")
    assert client.completions.create(model="demo", prompt=[5, 6]).choices[0].text == "[5, 6]"
    many: Any = [f"dicts:prompt {number}" for number in range(40)]
    answer = client.completions.create(model="demo", prompt=many)
    assert [choice.index for choice in answer.choices] == list(range(40))
    assert [choice.text for choice in answer.choices] == [f"prompt {number} " for number in range(40)]
    assert answer.usage is not None and answer.usage.prompt_tokens == 120
    texts = ["", "", ""]
    mixed: Any = ["plain:a", "pieces:b c", [1]]
    for chunk in client.completions.create(model="demo", prompt=mixed, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == ["a", "b c ", "[1]"]


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["demo"]
    assert client.models.retrieve("demo").owned_by == "cortex"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


@pytest.mark.parametrize(
    ("path", "body", "status", "param", "code"),
    [
        ("chat/completions", {"model": "other", "messages": [{"role": "user"}]}, 404, "model", "model_not_found"),
        ("chat/completions", {"messages": [{"role": "user"}]}, 400, "model", None),
        ("chat/completions", {"model": "demo"}, 400, "messages", None),
        ("chat/completions", {"model": "demo", "messages": []}, 400, "messages", None),
        ("chat/completions", {"model": "demo", "messages": ["a"]}, 400, "messages[0]", None),
        ("chat/completions", {"model": "demo", "messages": [{"role": "u"}], "n": 0}, 400, "n", None),
        ("chat/completions", {"model": "demo", "messages": [{"role": "u"}], "stream": "yes"}, 400, "stream", None),
        ("completions", {"model": "demo"}, 400, "prompt", None),
        ("completions", {"model": "demo", "prompt": [["a"]]}, 400, "prompt[0]", None),
        ("completions", [], 400, None, None),
        ("completions", "{", 400, None, None),
        ("completions", "[" * 100_000, 400, None, None),
        ("completions", '{"model": "demo", "prompt": "\\ud800", "n": 1' + "0" * 5000 + "}", 400, None, None),
        ("completions", b'{"model": "\xff"}', 400, None, None),
        ("completions", '{"model": "\\ud800", "prompt": "a"}', 404, "model", "model_not_found"),
        ("embeddings", {"model": "demo", "input": "a"}, 404, None, "not_found"),
        ("nothing", {}, 404, None, "not_found"),
    ],
)
def test_errors_have_openais_shape(
    replica: Replica, path: str, body: Any, status: int, param: str | None, code: str | None
) -> None:
    content = body if isinstance(body, (str, bytes)) else json.dumps(body)
    answer = replica.client.post(f"/v1/{path}", content=content, headers={"content-type": "application/json"})
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (status, "invalid_request_error")
    assert (error["param"], error["code"]) == (param, code) and error["message"]
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("depth", [100, 900, 980, 990, 995, 1000, 1010, 2000])
def test_deep_bodies_are_the_callers_fault(replica: Replica, depth: int) -> None:
    body = '{"model": "demo", "prompt": ["plain:a"], "x": ' + "[" * depth + "]" * depth + "}"
    assert replica.client.post("/v1/completions", content=body).status_code in (200, 400)


def test_the_predictors_failures(replica: Replica, client: openai.OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as chosen:
        chat(client, "refuse:")
    assert (chosen.value.param, chosen.value.code) == ("temperature", "too_hot")
    for mode in ("fail:", "wrong:"):
        for stream in (False, True):
            with pytest.raises(openai.InternalServerError) as failed:
                list(chat(client, mode, stream=stream))
            assert "secret" not in str(failed.value)
    replica.wait_line("a piece of text must be a str or a dict, not 5")
    with pytest.raises(openai.APIError, match="in the middle of its answer"):
        list(chat(client, "broken:", stream=True))
    with pytest.raises(openai.InternalServerError):
        chat(client, "broken:")
    assert replica.client.get("/v1/completions").headers["allow"] == "POST"


def test_a_deadline_and_a_caller_who_leaves_free_the_worker(replica: Replica, client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as late:
        chat(client, "slow:", extra_headers={"x-request-timeout-ms": "100"})
    assert late.value.status_code == 504
    with chat(client, "endless:", stream=True) as events:
        assert next(iter(events)).choices[0].delta.content == "again "
    replica.wait_line("closed")
    assert chat(client, "plain:next").choices[0].message.content == "next"


def test_the_bytes_of_a_stream(replica: Replica) -> None:
    body = b'{"model":"demo","prompt":"pieces:a b","stream":true}'
    head = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
    raw = replica.raw(head + body)
    assert b"content-type: text/event-stream\r\n" in raw and b"cache-control: no-cache\r\n" in raw
    assert b"data: [DONE]\n\n" in raw and raw.endswith(b"0\r\n\r\n")


def test_a_slow_reader_holds_the_generator(replica: Replica) -> None:
    body = b'{"model":"demo","prompt":"flood:","stream":true}'
    with replica.connect() as sock:
        sock.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        assert sock.recv(15) == b"HTTP/1.1 200 OK"
        counts: list[int] = []

        def settled() -> bool:
            counts.append(sum(line["message"].startswith("yielded") for line in replica.lines()))
            return len(counts) > 60 and counts[-1] == counts[-50]

        wait_for(settled)
        assert 0 < counts[-1] < 300
    assert replica.client.post("/v1/completions", json={"model": "demo", "prompt": "plain:x"}).status_code == 200


async def test_the_async_client(replica: Replica) -> None:
    async with openai.AsyncOpenAI(base_url=f"{replica.client.base_url}/v1", api_key="none", max_retries=0) as client:
        stream = await client.completions.create(model="demo", prompt="pieces:a b c", stream=True)
        assert "".join([chunk.choices[0].text async for chunk in stream]) == "a b c "
        answer = await client.completions.create(model="demo", prompt="plain:whole")
        assert answer.choices[0].text == "whole"


def test_embeddings(vectors: openai.OpenAI) -> None:
    # Without a word about the format the client asks for base64 and unpacks it.
    answer = vectors.embeddings.create(model="demo", input=["a", "bcd"])
    assert [item.embedding for item in answer.data] == [[1.0, 0.5, -1.0], [3.0, 0.5, -1.0]]
    plain = vectors.embeddings.create(model="demo", input="ab", encoding_format="float", dimensions=2)
    assert (plain.data[0].embedding, plain.usage.total_tokens) == ([2.0, 0.5], 0)
    counted = vectors.embeddings.create(model="demo", input=[[1, 2], [3]], user="counts")
    assert ([item.embedding[0] for item in counted.data], counted.usage.prompt_tokens) == ([2.0, 1.0], 7)
    tokens = vectors.embeddings.create(model="demo", input=[1, 2, 3])
    assert [item.embedding[0] for item in tokens.data] == [3.0]
    raw = vectors.embeddings.with_raw_response.create(model="demo", input="a", encoding_format="base64")
    assert struct.unpack("<3f", base64.b64decode(json.loads(raw.text)["data"][0]["embedding"])) == (1.0, 0.5, -1.0)
    with pytest.raises(openai.InternalServerError):
        vectors.embeddings.create(model="demo", input=["a", "b"], user="short")
    for wrong in ("", [], [1.5], [["a"]]):
        with pytest.raises(openai.BadRequestError):
            vectors.embeddings.create(model="demo", input=wrong)  # type: ignore[arg-type]
    with pytest.raises(openai.NotFoundError, match="text-generation"):
        vectors.completions.create(model="demo", prompt="a")


def test_without_a_task_there_are_no_routes(tmp_path: Any) -> None:
    source = "class PythonPredictor:\n    def predict(self, payload):\n        return 1\n"
    with running(tmp_path, source) as plain:
        assert plain.client.get("/v1/models").status_code == 404


def test_a_deadline_comes_while_the_texts_of_others_are_read(replica: Replica) -> None:
    asked = {"model": "demo", "prompt": "plain:" + "x" * 40_000}
    assert replica.client.post("/v1/completions", json=asked).status_code == 200
    [reader] = readers(replica)
    os.kill(reader, signal.SIGSTOP)
    try:
        told = replica.client.post("/v1/completions", json=asked, headers={"x-request-timeout-ms": "100"})
    finally:
        os.kill(reader, signal.SIGCONT)
    assert told.status_code == 504 and "longer than it may" in told.json()["error"]["message"]
    assert replica.client.post("/v1/completions", json=asked).status_code == 200
