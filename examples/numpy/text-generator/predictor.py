"""Writes text token by token. `{"prompt": "...", "max_tokens": 40, "temperature": 0.8, "seed": 1}`."""

import numpy
from model import Decoder, sample

PRINTABLE = set(range(32, 127)) | {10}


class PythonPredictor:
    def __init__(self, config):
        shape = {name: config[name] for name in ("layers", "heads", "width", "context")}
        self.model = Decoder(seed=config["seed"], **shape)

    def predict(self, payload):
        """Yields one piece of text per token, as soon as it is known."""
        prompt = payload.get("prompt", "").encode()[: self.model.context // 2] or b"\n"
        limit = min(int(payload.get("max_tokens", 40)), self.model.context - len(prompt))
        rng = numpy.random.default_rng(payload.get("seed"))
        cache = self.model.new_cache()
        for token in prompt:
            logits = self.model.forward(token, cache)
        for _ in range(limit):
            token = sample(self._printable(logits), float(payload.get("temperature", 0.8)), rng)
            yield {"token": chr(token)}
            logits = self.model.forward(token, cache)

    def _printable(self, logits):
        """Random weights would mostly emit control bytes; keep to what a terminal can show."""
        masked = numpy.full_like(logits, -1e9)
        allowed = sorted(PRINTABLE)
        masked[allowed] = logits[allowed]
        return masked
