"""Streams a chat with OpenAI's client: `uv run --no-project --with openai client.py [http://<gateway>/text-generator]`"""

import sys

import openai

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8888/text-generator"
client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
chunks = client.chat.completions.create(
    model=client.models.list().data[0].id,
    messages=[{"role": "user", "content": "Once upon a time"}],
    max_tokens=60,
    seed=1,
    stream=True,
    stream_options={"include_usage": True},
)
for chunk in chunks:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
    if chunk.usage:
        print(f"\n{chunk.usage.completion_tokens} tokens after {chunk.usage.prompt_tokens} of the prompt")
