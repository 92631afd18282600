"""A whole control plane on a virtual clock: a real reconciler between a fake store, node and gateway.

The world checks itself: a replica that a gateway uses is never stopped, starts stay within the ceiling, and callers of
a healthy API always find a ready replica.
"""

import contextlib
import dataclasses
import random

from services.apiserver import errors, model, observation, quantities, reconciler, rollout
from tests.fakes import records
from tests.fakes.backend import Behaviour, FakeBackend
from tests.fakes.board import FakeBoard
from tests.fakes.clock import FakeClock
from tests.fakes.gateway import FakeEnvoy, FakeGateway
from tests.fakes.store import MemoryStore

TICK = 0.2
# How long after a kill callers may find nobody: the node's restart with back-off, loading, and the news of it.
GRACE_SECONDS = 12.0
DEADLINE_SECONDS = 12.0


class Flaky(MemoryStore):
    """A database that loses an answer now and then."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng
        self.failing = 0.0

    async def set_revision_state(
        self, api: str, revision_id: str, state: model.RevisionState, reason: model.Reason, message: str
    ) -> None:
        self._maybe()
        await super().set_revision_state(api, revision_id, state, reason, message)

    async def add_event(self, event: model.Event) -> model.Event:
        self._maybe()
        return await super().add_event(event)

    def _maybe(self) -> None:
        if self._rng.random() < self.failing:
            raise errors.DatabaseUnavailable("the database did not answer")


class World:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.clock = FakeClock()
        self.store = Flaky(self.rng)
        self.backend = FakeBackend(self.clock)
        self.backend.on_start, self.backend.on_stop = self._started, self._stopped
        self.envoy = FakeEnvoy()
        self.numbers = 0
        self.disturbed: dict[str, float] = {}
        self.answered: set[str] = set()
        self.good: set[str] = set()
        self.start_apiserver()

    def start_apiserver(self) -> None:
        """A new process: all it knew is gone, the gateway and the replicas go on."""
        self.board = FakeBoard()
        self.gateway = FakeGateway(self.clock, self.envoy, ack_seconds=self.rng.choice([0.0, 0.3, 1.0]))
        self.backend.forget_observation()
        self.reconciler = reconciler.Reconciler(
            store=self.store,
            backend=self.backend,
            gateway=self.gateway,
            board=self.board,
            clock=self.clock,
            rng=self.rng,
        )

    async def tick(self) -> None:
        self.clock.advance(TICK)
        self.backend.tick()
        self.gateway.tick()
        names = sorted({*self.store.apis, *(replica.api for replica in self.backend.observed()[0].values())})
        self.rng.shuffle(names)
        for name in names:
            if self.rng.random() < 0.7:
                await self._reconcile(name)
        self._call()
        self._check()

    async def run(self, seconds: float) -> None:
        for _ in range(int(seconds / TICK)):
            await self.tick()

    async def _reconcile(self, name: str) -> None:
        with contextlib.suppress(errors.Unavailable):
            await self.reconciler.reconcile(name)

    async def deploy(self, name: str, behaviour: Behaviour) -> str:
        self.numbers += 1
        identity = f"r{self.numbers}-{self.rng.randrange(16**4):04x}"
        self.backend.behaviours[identity] = behaviour
        if behaviour.failure is None and not behaviour.dies_serving and behaviour.start_seconds < DEADLINE_SECONDS:
            self.good.add(identity)
        now, revision = self.clock.now(), records.revision(identity, name)
        present = self.store.apis.get(name)
        if present is None:
            await self.store.create_api(self._new(name, identity), revision)
            self.answered.discard(name)
        elif present.delete_time is None:
            going = model.Rollout(model.RolloutState.IN_PROGRESS, present.serving_revision, identity, now, now)
            changed = dataclasses.replace(
                present, target_revision=identity, rollout=going, generation=present.generation + 1
            )
            await self.store.update_api(changed, expected_version=present.version, revision=revision)
        return identity

    async def scale(self, name: str, desired: int) -> None:
        present = self.store.apis[name]
        if present.delete_time is None:
            if desired != present.desired_replicas and 0 in (desired, present.desired_replicas):
                self.disturb(name)
            await self.store.update_api(
                dataclasses.replace(present, desired_replicas=desired), expected_version=present.version
            )

    async def delete(self, name: str) -> None:
        present = self.store.apis[name]
        await self.store.update_api(
            dataclasses.replace(present, delete_time=self.clock.now()), expected_version=present.version
        )

    def kill(self, replica: model.Replica) -> None:
        self.disturb(replica.api)
        self.backend.crash(replica.id)

    def disturb(self, name: str) -> None:
        """Something outside our power happened: callers may suffer for a moment."""
        self.disturbed[name] = self.clock.now()
        self.answered.discard(name)

    def ready_endpoints(self, name: str) -> list[model.Replica]:
        route = self.envoy.routes.get(name)
        real = self.backend.real()
        return [
            real[identity]
            for identity in observation.endpoint_ids(route)
            if identity in real and observation.ready(real[identity])
        ]

    def _new(self, name: str, target: str) -> model.Api:
        strategy = self.rng.choice([("25%", "25%"), ("1", "0"), ("0", "1"), ("100%", "50%")])
        return records.api(
            name,
            target=target,
            uid=f"uid-{self.numbers}",
            desired=self.rng.randrange(1, 4),
            max_surge=strategy[0],
            max_unavailable=strategy[1],
            progress_deadline=DEADLINE_SECONDS,
        )

    def _call(self) -> None:
        """One request to each API, and one more when the replica died of it."""
        for name in sorted(self.envoy.routes):
            ready = sorted(self.ready_endpoints(name), key=lambda replica: replica.id)
            if ready:
                self.backend.serve(self.rng.choice(ready).id)

    def _started(self, replica: model.Replica) -> None:
        api = self.store.apis[replica.api]
        alive = [
            r for r in self.backend.real().values() if r.api == api.name and r.state is not model.ReplicaState.DRAINING
        ]
        wanted = max(1, rollout.wanted(api))
        ceiling = quantities.budget(api.spec.update_strategy, wanted).ceiling
        # Replicas from before a scale down may still be leaving; a start never adds to a full house.
        assert len(alive) <= ceiling, f"{len(alive)} replicas of {api.name} with a ceiling of {ceiling}"

    def _stopped(self, replica: model.Replica) -> None:
        gone = not self.gateway.connected
        assert gone or replica.id not in self.envoy.ids(), f"{replica.id} was stopped while the gateway used it"

    def _check(self) -> None:
        for name, api in self.store.apis.items():
            healthy = api.serving_revision in self.good and api.desired_replicas > 0 and api.delete_time is None
            strict = api.spec.update_strategy.max_surge != "0" or api.desired_replicas > 1
            calm = self.clock.now() - self.disturbed.get(name, 0.0) > GRACE_SECONDS
            if not healthy or not calm:
                self.answered.discard(name)
            elif self.ready_endpoints(name):
                self.answered.add(name)
            else:
                assert not strict or name not in self.answered, f"callers of {name} find no ready replica"
