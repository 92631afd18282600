"""Tells whether a sentence is meant well, with a model per language: each is a list of words and what they weigh."""

import json
import math
import pathlib
import re


class Sentiment:
    """Adds up the weights of the words it knows."""

    def __init__(self, weights):
        self.bias = weights.pop("", 0.0)
        self.weights = weights

    def score(self, text):
        known = [self.weights.get(word, 0.0) for word in re.findall(r"\w+", text.lower())]
        return 1 / (1 + math.exp(-self.bias - sum(known)))


class PythonPredictor:
    def __init__(self, config, python_client):
        self.client = python_client

    def load_model(self, model_path):
        """Called once for each model and version, when it is first asked for; the result is kept."""
        return Sentiment(json.loads(pathlib.Path(model_path, "weights.json").read_text()))

    def predict(self, payload, query_params):
        version = query_params.get("version", "latest")
        model = self.client.get_model(query_params.get("language", "english"), version)
        score = model.score(payload["text"])
        return {"label": "positive" if score >= 0.5 else "negative", "score": round(score, 3), "version": version}
