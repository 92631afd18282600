"""Replicas whose predictors run on the device, and what the checks say and expect."""

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tests.gpu import card
from tests.runtime.replica import Replica, running, wait_for

PROJECTS = pathlib.Path(__file__).parent / "projects"
_READY_SECONDS = 90.0
# bfloat16 has eight bits of a number; eight blocks add up what is lost.
_TOLERANCE = 0.05


@dataclasses.dataclass
class Stand:
    """`python` has torch; `device` is torch's name of where the predictors compute."""

    python: str
    device: str
    folder: pathlib.Path
    seconds: float
    failures: list[str] = dataclasses.field(default_factory=list)
    _count: int = 0

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    def say(self, text: str) -> None:
        print(f"  {text}", flush=True)

    def expect(self, holds: object, what: str) -> None:
        self.say(f"{'ok    ' if holds else 'FAILED'} {what}")
        if not holds:
            self.failures.append(what)

    def attempt(self, step: Callable[..., None], what: str, *args: Any, **told: Any) -> None:
        """A step after which the next ones are worth a try, however it ends."""
        try:
            step(self, what, *args, **told)
        except Exception as error:
            self.expect(False, f"{what} could not be finished: {type(error).__name__}: {error}")

    def prepare(self) -> None:
        """Weights and answers of the network; once for all checks."""
        if not (self.folder / "answers.json").exists():
            command = [self.python, str(PROJECTS / "blocks/write.py"), str(self.folder)]
            subprocess.run(command, check=True, timeout=120)

    @contextlib.contextmanager
    def served(self, project: str, *, ready: bool = True, environ: Mapping[str, str] | None = None,
               spec: Mapping[str, Any] | None = None, **predictor: Any) -> Iterator[Replica]:  # fmt: skip
        """A replica of one of the projects here."""
        self._count += 1
        folder = self.folder / f"{os.getpid()}-{self._count}-{project}"
        shutil.copytree(PROJECTS / project, folder / "project", ignore=shutil.ignore_patterns("__pycache__"))
        source = (folder / "project/predictor.py").read_text() if project != "triton" else ""
        config = {"device": self.device, "weights": str(self.folder / "weights.pt"), **predictor.pop("config", {})}
        told = {"config": config, **predictor}
        with running(
            folder, source, predictor=told, spec=spec, config={"python": self.python}, environ=environ, ready=False
        ) as replica:
            if ready:
                wait_for(
                    lambda: replica.state["state"] == "READY" or replica.process.poll() is not None, _READY_SECONDS
                )
                assert replica.process.poll() is None, (replica.state, replica.lines()[-5:])
            yield replica

    def requests(self) -> list[bytes]:
        """Bodies for the network."""
        told = json.loads((self.folder / "answers.json").read_text())
        return [json.dumps({"tokens": tokens}).encode() for tokens in told["tokens"]]

    def error(self, replica: Replica) -> float:
        """The largest distance of an answer of the replica from float32's, as a share of that one's length."""
        told = json.loads((self.folder / "answers.json").read_text())
        return max(
            distance(replica.client.post("/", json={"tokens": tokens}).raise_for_status().json()["answer"], right)
            for tokens, right in zip(told["tokens"], told["answers"], strict=True)
        )

    def expect_right(self, replica: Replica, what: str) -> None:
        error = self.error(replica)
        self.expect(error < _TOLERANCE, f"{what}: answers right (error {error:.4f} of float32 on the CPU)")

    def expect_on_gpu(self, pids: Sequence[int], what: str) -> None:
        if not self.on_gpu:
            return
        seen = card.processes()
        if seen:
            shown = {pid: f"{seen.get(pid, 'no')} MiB" for pid in pids}
            self.expect(set(pids) <= set(seen), f"{what}: nvidia-smi lists its workers {shown}")
        else:
            self.say(f"{what}: nvidia-smi lists no processes here; {card.used()} MiB are used in all")


def distance(answer: Sequence[float], right: Sequence[float]) -> float:
    return math.dist(answer, right) / math.hypot(*right)
