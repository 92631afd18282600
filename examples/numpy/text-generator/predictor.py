"""Writes text token by token, for HTTP and gRPC callers and for OpenAI's clients (client.py).

`{"prompt": "...", "max_tokens": 40, "temperature": 0.8, "seed": 1}`, or a chat's `messages`.
"""

import numpy
from model import Decoder, sample

PRINTABLE = sorted(set(range(32, 127)) | {10})


class BadRequest(Exception):
    """Reaches the caller with this status and text."""

    status_code = 400

    def __init__(self, detail):
        super().__init__(detail)
        self.detail = detail


class PythonPredictor:
    def __init__(self, config):
        shape = {name: config[name] for name in ("layers", "heads", "width", "context")}
        self.model = Decoder(seed=config["seed"], **shape)

    def predict(self, payload):
        """Yields one piece of text per token, as soon as it is known."""
        try:
            prompt = self._prompt(payload)[-self.model.context // 2 :] or b"\n"
            limit = int(payload.get("max_completion_tokens") or payload.get("max_tokens") or 40)
            temperature = float(payload["temperature"]) if payload.get("temperature") is not None else 0.8
            stops = tuple([payload["stop"]] if isinstance(payload.get("stop"), str) else payload.get("stop") or ())
            "".endswith(stops)
            choices = range(payload.get("n") or 1)
            rng = numpy.random.default_rng(payload.get("seed"))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BadRequest(f"this model cannot read that: {error!r}") from error
        limit = min(limit, self.model.context - len(prompt))
        told = 0
        for index in choices:
            said = ""
            for text in self._tokens(prompt, temperature, rng, limit):
                said, told = said + text, told + 1
                yield {"index": index, "text": text, "prompt_tokens": len(prompt), "completion_tokens": told}
                if said.endswith(stops):
                    break
            yield {"index": index, "finish_reason": "length" if len(said) >= limit else "stop"}

    def _prompt(self, payload):
        """Bytes are the tokens of this model. It knows no roles; a chat model would apply its template here."""
        if "messages" in payload:
            return "".join(f"{each['role']}: {_text(each['content'])}\n" for each in payload["messages"]).encode()
        prompt = payload.get("prompt", "")
        return bytes(prompt) if isinstance(prompt, list) else prompt.encode()

    def _tokens(self, prompt, temperature, rng, limit):
        cache = self.model.new_cache()
        for token in prompt:
            logits = self.model.forward(token, cache)
        for _ in range(limit):
            token = sample(self._printable(logits), temperature, rng)
            yield chr(token)
            logits = self.model.forward(token, cache)

    def _printable(self, logits):
        """Random weights would mostly emit control bytes; keep to what a terminal can show."""
        masked = numpy.full_like(logits, -1e9)
        masked[PRINTABLE] = logits[PRINTABLE]
        return masked


def _text(content):
    """A message is text, or a list of parts."""
    return content if isinstance(content, str) else "".join(part["text"] for part in content)
