"""`make demo`: starts Cortex, trains and deploys the iris example, predicts, checks the labels, prints what happened.

The cluster is left running for the user to play with; `cortex down` ends it.
"""

import json
import pathlib
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).parents[1]
BIN = pathlib.Path(sys.executable).parent
EXAMPLE = ROOT / "examples/sklearn/iris-classifier"


def say(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def run(*command: str) -> None:
    print(f"$ {' '.join(command)}", flush=True)
    done = subprocess.run([str(BIN / command[0]), *command[1:]], cwd=EXAMPLE)
    if done.returncode != 0:
        sys.exit(f"demo stopped: `{' '.join(command)}` ended with status {done.returncode}")


def check(url: str) -> tuple[int, int, float]:
    """Sends every held-out flower; returns right answers, all, and seconds."""
    labelled = json.loads((EXAMPLE / "labelled.json").read_text())
    began, right = time.monotonic(), 0
    for flower in labelled:
        body = json.dumps(flower["payload"]).encode()
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as reply:
            right += reply.read().decode() == flower["label"]
    return right, len(labelled), time.monotonic() - began


def endpoint() -> str:
    command = [str(BIN / "cortex"), "get", "iris-classifier", "-o", "json"]
    return str(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["status"]["url"])


def wait_for_metrics(requests: int, timeout: float = 10) -> None:
    """Replicas report once a second; wait until the monitor has counted what was sent."""
    command = [str(BIN / "cortex"), "get", "iris-classifier"]
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        if str(requests) in shown:
            return
        time.sleep(0.2)


def main() -> None:
    say("1. Train the model on Fisher's iris data (examples/sklearn/iris-classifier/train.py)")
    run("uv", "run", "--quiet", "--no-project", "--with-requirements", "requirements.txt", "train.py")
    say("2. Start Cortex on this machine: control plane and gateway")
    run("cortex", "up")
    say("3. Deploy")
    run("cortex", "deploy")
    say("4. Predict: every flower the model has not seen, each checked against its known label")
    right, total, seconds = check(endpoint())
    print(f"{right} of {total} predictions match the label, {1000 * seconds / total:.1f} ms each")
    run("cortex", "predict", "iris-classifier", "sample.json")
    say("5. What Cortex saw")
    wait_for_metrics(total)
    run("cortex", "get", "iris-classifier")
    run("cortex", "logs", "iris-classifier", "--tail", "5")
    if right < 0.9 * total:
        sys.exit(f"demo failed: only {right} of {total} predictions are right")
    say("It keeps running: see `cortex get`, `cortex describe iris-classifier`, `cortex logs -f iris-classifier`.")
    print(f"Put {BIN} on your PATH to use `cortex`; `cortex down` ends it.")


if __name__ == "__main__":
    main()
