"""Compares texts with OpenAI's client: `uv run --no-project --with openai client.py [http://<gateway>/text-embedding]`"""

import sys

import openai

SENTENCES = ["The cat sat on the mat.", "A cat was sitting on the mats.", "Interest rates rose by half a percent."]

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8888/text-embedding"
client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
answer = client.embeddings.create(model=client.models.list().data[0].id, input=SENTENCES)
first = answer.data[0].embedding
for sentence, item in zip(SENTENCES, answer.data, strict=True):
    likeness = sum(a * b for a, b in zip(first, item.embedding, strict=True))
    print(f"{likeness:5.2f}  {sentence}")
