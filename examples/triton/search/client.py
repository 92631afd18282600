"""Asks for the document nearest to a text: `python client.py http://localhost:8888/search baking bread at home`."""

import json
import pathlib
import sys
import urllib.request

address, *words = sys.argv[1:]
documents = pathlib.Path(__file__).with_name("documents.txt").read_text().splitlines()


def infer(model, name, datatype, shape, data):
    ask = {"inputs": [{"name": name, "datatype": datatype, "shape": shape, "data": data}]}
    request = urllib.request.Request(f"{address}/v2/models/{model}/infer", json.dumps(ask).encode())
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.load(reply)["outputs"][0]["data"]


vector = infer("embed", "text", "BYTES", [1, 1], [" ".join(words) or "baking bread at home"])
scores = infer("rank", "vector", "FP32", [1, len(vector)], vector)
for score, document in sorted(zip(scores, documents, strict=True), reverse=True):
    print(f"{score:5.2f}  {document}")
