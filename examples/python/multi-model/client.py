"""python client.py http://localhost:8888/sentiment: asks each model of the API, and one version by its number."""

import json
import sys
import urllib.error
import urllib.request

QUESTIONS = (
    ("language=english", "Not a nice day"),
    ("language=english&version=1", "Not a nice day, but a good one"),
    ("language=german", "Was für ein wunderbar schöner Tag"),
    ("language=french", "Quelle belle journée"),
)


def ask(url, query, text):
    body = json.dumps({"text": text}).encode()
    request = urllib.request.Request(f"{url}?{query}", body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as error:
        return {"status": error.code, **json.load(error)}


if __name__ == "__main__":
    for query, text in QUESTIONS:
        answer = ask(sys.argv[1].rstrip("/"), query, text)
        found = f"{answer['status']} {answer['error']}" if "error" in answer else f"{answer['label']} {answer['score']}"
        print(f"{query:28} {text:36} {found}")
