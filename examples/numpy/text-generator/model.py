"""A GPT-2 style decoder in numpy (Radford et al., 2019): learned positions, pre-norm blocks, tied output weights.

The weights are random, so the text means nothing; the arithmetic of each token is real. Tokens are bytes.
"""

import numpy

VOCABULARY = 256


class Decoder:
    """`forward(token, cache)` takes one token and returns the logits (256,) of the next; keys and values are cached."""

    def __init__(self, *, layers, heads, width, context, seed):
        rng = numpy.random.default_rng(seed)
        self.layers, self.heads, self.width, self.context = layers, heads, width, context
        self.embedding = rng.normal(0, 0.08, (VOCABULARY, width)).astype(numpy.float32)
        self.positions = rng.normal(0, 0.02, (context, width)).astype(numpy.float32)
        wide = 4 * width
        shapes = {"qkv": (width, 3 * width), "out": (width, width), "up": (width, wide), "down": (wide, width)}
        self.blocks = [
            {name: rng.normal(0, 0.08, shape).astype(numpy.float32) for name, shape in shapes.items()}
            for _ in range(layers)
        ]

    def new_cache(self):
        shape = (self.layers, 2, self.heads, self.context, self.width // self.heads)
        return {"keys_values": numpy.zeros(shape, numpy.float32), "length": 0}

    def forward(self, token, cache):
        position = cache["length"]
        x = self.embedding[token] + self.positions[position]
        for block, kv in zip(self.blocks, cache["keys_values"], strict=True):
            x = x + self._attend(_norm(x), block, kv, position)
            hidden = _gelu(_norm(x) @ block["up"])
            x = x + hidden @ block["down"]
        cache["length"] = position + 1
        return _norm(x) @ self.embedding.T

    def _attend(self, x, block, kv, position):
        query, key, value = (x @ block["qkv"]).reshape(3, self.heads, -1)
        kv[0, :, position], kv[1, :, position] = key, value
        scores = numpy.einsum("hd,htd->ht", query, kv[0, :, : position + 1]) / numpy.sqrt(query.shape[-1])
        mixed = numpy.einsum("ht,htd->hd", _softmax(scores), kv[1, :, : position + 1])
        return mixed.reshape(-1) @ block["out"]


def sample(logits, temperature, rng):
    """The next token: the most likely at temperature 0, else drawn from the softmax."""
    if temperature <= 0:
        return int(logits.argmax())
    return int(rng.choice(len(logits), p=_softmax(logits.astype(numpy.float64) / temperature)))


def _norm(x):
    return (x - x.mean()) / numpy.sqrt(x.var() + 1e-5)


def _gelu(x):
    return 0.5 * x * (1 + numpy.tanh(0.7978845608 * (x + 0.044715 * x**3)))


def _softmax(x):
    weights = numpy.exp(x - x.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)
