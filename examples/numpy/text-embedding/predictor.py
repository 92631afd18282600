"""Embeds texts by hashing words and groups of letters (Weinberger et al., 2009): no vocabulary, no training."""

import hashlib
import re

import numpy


class BadRequest(Exception):
    """Reaches the caller with this status and text."""

    status_code = 400

    def __init__(self, detail):
        super().__init__(detail)
        self.detail = detail


class PythonPredictor:
    def __init__(self, config):
        self.dimensions = config["dimensions"]

    def predict(self, payload):
        """`payload["input"]` is a list of texts, or of lists of tokens; returns a row of length 1 for each."""
        if not isinstance(payload, dict) or not isinstance(payload.get("input"), list):
            raise BadRequest("send an object with `input`, a list of texts")
        wanted = payload.get("dimensions") or self.dimensions
        if not isinstance(wanted, int) or not 1 <= wanted <= 4096:
            raise BadRequest("`dimensions` must be a whole number from 1 to 4096")
        pieces = [self._pieces(text) for text in payload["input"]]
        rows = numpy.zeros((len(pieces), wanted), numpy.float32)
        for row, found in zip(rows, pieces, strict=True):
            for piece in found:
                digest = int.from_bytes(hashlib.blake2b(piece.encode(), digest_size=8).digest(), "little")
                row[(digest >> 1) % wanted] += 1.0 if digest & 1 else -1.0
        lengths = numpy.linalg.norm(rows, axis=1, keepdims=True)
        return {"embeddings": rows / numpy.maximum(lengths, 1e-9), "prompt_tokens": sum(map(len, pieces))}

    @staticmethod
    def _pieces(text):
        if isinstance(text, list):
            return [f"token {number}" for number in text]
        words = re.findall(r"\w+", text.lower())
        groups = [f" {word} "[at : at + 3] for word in words for at in range(len(word))]
        return words + groups
