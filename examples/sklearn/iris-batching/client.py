"""python client.py http://localhost:8888/iris-batching: many callers at once, and one who asks for nonsense."""

import concurrent.futures
import json
import pathlib
import sys
import urllib.error
import urllib.request

SAMPLE = json.loads(pathlib.Path(__file__).with_name("sample.json").read_text())


def ask(flower):
    request = urllib.request.Request(sys.argv[1], json.dumps(flower).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.read().decode()
    except urllib.error.HTTPError as error:
        return f"{error.code} {json.load(error)['error']}"


if __name__ == "__main__":
    flowers = [{**SAMPLE, "petal_length": 1 + n % 50 / 10} for n in range(500)]
    flowers[250] = {"petals": 5}
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(ask, flowers))
    for answer in sorted(set(answers)):
        print(f"{answers.count(answer):4} {answer}")
