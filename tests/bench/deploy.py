"""`python -m tests.bench.deploy`: seconds from `cortex up` to ready, and from `cortex deploy` to the first 200.

The environment of the iris example is built once before the clock starts (that time is printed too); every round
deploys under a new name, so nothing but the environment is warm. The first 200 is seen by a caller that asks every
10 ms.
"""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

from tests.e2e import cluster as clusters

EXAMPLE = pathlib.Path(__file__).parents[2] / "examples/sklearn/iris-classifier"


def first_200(url: str, body: bytes, since: float, found: list[float]) -> None:
    while not found and time.monotonic() - since < 300:
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60):
                found.append(time.monotonic() - since)
        except (urllib.error.URLError, OSError):
            time.sleep(0.01)


def deploy(cluster: clusters.Cluster, name: str) -> tuple[float, float]:
    """Deploys iris as `name`; returns seconds to the first 200 and until the command ended."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=cluster.home)) / "iris"
    shutil.copytree(EXAMPLE, folder)
    text = (folder / "cortex.yaml").read_text().replace("name: iris-classifier", f"name: {name}")
    (folder / "cortex.yaml").write_text(text)
    found: list[float] = []
    began = time.monotonic()
    body = json.dumps(json.loads((EXAMPLE / "sample.json").read_text())).encode()
    caller = threading.Thread(target=first_200, args=(f"http://{cluster.data_address}/{name}", body, began, found))
    caller.start()
    cluster.deploy(folder, "--timeout", "300s")
    ended = time.monotonic() - began
    caller.join()
    return found[0], ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    subprocess.run(
        ["uv", "run", "-q", "--no-project", "--with-requirements", "requirements.txt", "train.py"],
        cwd=EXAMPLE,
        check=True,
    )
    with clusters.running() as cluster:
        cold = deploy(cluster, "iris-cold")
        print(
            f"environment built, pip cache warm: first 200 after {cold[0]:.2f} s, command ended after {cold[1]:.2f} s"
        )
        warm = [deploy(cluster, f"iris-{number}") for number in range(rounds)]
        ups = []
        for _ in range(rounds):
            cluster.down()
            ups.append(cluster.up())
    show("cortex up, ready", ups)
    show("cortex deploy (environment cached), first 200", [first for first, _ in warm])
    show("cortex deploy (environment cached), command ended", [ended for _, ended in warm])


def show(what: str, seconds: list[float]) -> None:
    middle, low, high = statistics.median(seconds), min(seconds), max(seconds)
    print(f"{what}: median {middle:.2f} s, min {low:.2f}, max {high:.2f}, n={len(seconds)}")


if __name__ == "__main__":
    main()
