"""Our scaling rule as a policy of the shared autoscaling benchmark, so that its score can be compared with the others'.

    cd <benchmark> && PYTHONPATH=<this repository> python bench.py --policy tests.sim.autoscale_policy:Ancestor
    python bench.py --policy-cmd "python -m tests.sim.autoscale_policy"     (with the same PYTHONPATH)

The adapter is the whole of what a service is there: samples in, the planner, a number out.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

from services.autoscaler import ancestor, model, planner, window

Json = Mapping[str, Any]


class Ancestor:
    """`cfg` is the benchmark's; `target` is the share of the slots of a replica that should be in use."""

    interval_s = 1.0

    def __init__(self, cfg: Json) -> None:
        self._scaling = model.Scaling(
            min_replicas=cfg["min_replicas"],
            max_replicas=cfg["max_replicas"],
            target_in_flight=cfg["concurrency"] * (cfg.get("target") or 1.0),
        )
        self._rule = ancestor.Ancestor()
        self._window = window.Window()
        self._memory: planner.Memory[ancestor.Memory] | None = None

    def decide(self, now: float, obs: Json) -> int:
        if self._memory is None:
            self._memory = planner.begin(self._rule, now)
        for sample in obs["samples"]:
            self._window.add(sample["t"], sample["in_flight"])
        current = obs["ready"] + obs["starting"]
        latest = int(obs["samples"][-1]["in_flight_now"]) if obs["samples"] else 0
        average = self._window.average(now, self._scaling.window)
        seen = model.Observation(
            current=current,
            ready=obs["ready"],
            held=latest if obs["ready"] == 0 else 0,
            in_flight=latest,
            average_in_flight=average,
            blindness=None if average is not None else model.Blindness.NO_SAMPLE,
        )
        decision, self._memory = planner.plan(self._rule, self._memory, seen, self._scaling, now)
        return decision.desired


def main() -> None:
    policy: Ancestor | None = None
    for line in sys.stdin:
        message = json.loads(line)
        if policy is None:
            policy = Ancestor(message["init"])
            answer: dict[str, float] = {"interval_s": policy.interval_s}
        else:
            answer = {"desired": policy.decide(message["now"], message["obs"])}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
