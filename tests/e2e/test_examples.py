"""The examples that train nothing, deployed and called as their README says."""

import pathlib
import shutil
import subprocess
import sys
from typing import Any

import openai
import pytest

from tests.e2e import cluster as clusters

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("example", "path", "said"),
    [
        ("numpy/text-generator", "/text-generator", "60 tokens after 23 of the prompt"),
        ("numpy/text-embedding", "/text-embedding", " 1.00  The cat sat on the mat."),
        ("python/multi-model", "/sentiment", "404 there is no model 'french'"),
        ("grpc/language-detector", "", "fr 1.00  Où est la prochaine gare"),
    ],
)
def test_an_example_and_its_client(cluster: clusters.Cluster, example: str, path: str, said: str) -> None:
    folder = cluster.home / example
    shutil.copytree(EXAMPLES / example, folder)
    cluster.deploy(folder)
    address = f"http://{cluster.data_address}{path}" if path else cluster.data_address
    if example.startswith("numpy/"):
        _takes_what_openais_clients_send(f"{address}/v1")
    client = [sys.executable, str(folder / "client.py"), address]
    done = subprocess.run(client, capture_output=True, text=True, timeout=60, check=False)
    assert said in done.stdout, done.stdout + done.stderr


def _takes_what_openais_clients_send(url: str) -> None:
    """Tokens in place of texts, parts of a message, several choices; and a mistake is the caller's."""
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        model = client.models.list().data[0].id
        if model == "text-embedding":
            made = client.embeddings.create(model=model, input=[[101, 7], [102]], encoding_format="float", dimensions=8)
            assert [len(each.embedding) for each in made.data] == [8, 8]
            with pytest.raises(openai.BadRequestError):
                client.embeddings.create(model=model, input="a", dimensions=-1)
            return
        told = client.completions.create(model=model, prompt=[65, 66], max_tokens=2, n=2)
        assert [choice.index for choice in told.choices] == [0, 1] and told.usage and told.usage.completion_tokens == 4
        parts: Any = [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
        reply = client.chat.completions.create(model=model, messages=parts, max_completion_tokens=3)
        assert len(reply.choices[0].message.content or "") == 3
        with pytest.raises(openai.BadRequestError):
            client.completions.create(model=model, prompt=[4000], max_tokens=2)
