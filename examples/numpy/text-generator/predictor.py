"""Writes text token by token, for HTTP and gRPC callers and for OpenAI's clients (client.py).

`{"prompt": "...", "max_tokens": 40, "temperature": 0.8, "seed": 1}`, or a chat's `messages`.
"""

import numpy
from model import Decoder, sample

PRINTABLE = sorted(set(range(32, 127)) | {10})


class PythonPredictor:
    def __init__(self, config):
        shape = {name: config[name] for name in ("layers", "heads", "width", "context")}
        self.model = Decoder(seed=config["seed"], **shape)

    def predict(self, payload):
        """Yields one piece of text per token, as soon as it is known."""
        prompt = self._prompt(payload).encode()[-self.model.context // 2 :] or b"\n"
        limit = min(int(payload.get("max_tokens") or 40), self.model.context - len(prompt))
        for count, text in enumerate(self._tokens(prompt, payload, limit), 1):
            yield {"text": text, "prompt_tokens": len(prompt), "completion_tokens": count}
            if text in (payload.get("stop") or ()):
                yield {"finish_reason": "stop"}
                return
        yield {"finish_reason": "length"}

    def _prompt(self, payload):
        """This model knows no roles; a chat model would apply its template here."""
        if "messages" in payload:
            return "".join(f"{message['role']}: {message['content']}\n" for message in payload["messages"])
        return payload.get("prompt", "")

    def _tokens(self, prompt, payload, limit):
        temperature = payload.get("temperature")
        temperature = 0.8 if temperature is None else float(temperature)
        rng = numpy.random.default_rng(payload.get("seed"))
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
