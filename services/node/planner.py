"""What to do next with one replica: pure, from its record and what is seen of it.

`plan` never looks at a clock, a process or a file. It returns the record as it should be from now on, the actions in
order, and how long nothing need be done unless something changes.
"""

import dataclasses
import random

from services.chassis import backoff
from services.node import actions, model

_RESTART = backoff.Backoff(first=0.1, longest=30.0)
_PREPARE = backoff.Backoff(first=1.0, longest=60.0)


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """Durations in seconds. `settled` is how long a run must have been ready for its crash to count as the first."""

    restart: backoff.Backoff = _RESTART
    prepare: backoff.Backoff = _PREPARE
    settled: float = 30.0
    kill_margin: float = 2.0
    crash_loop: int = 3
    stopped: float = 2.0  # as for a worker: a replica that stands still for longer is replaced
    poll_starting: float = 0.01
    poll_ready: float = 0.2
    poll_share: float = 0.05  # a start is noticed no later than by this share of what it has taken


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    record: model.Record
    steps: tuple[actions.Action, ...] = ()
    wait: float | None = None


def plan(record: model.Record, seen: model.Observation, policy: Policy, *, now: float, rng: random.Random) -> Plan:
    if seen.life is model.Life.GONE and record.launch is not None:
        record = _after_exit(record, seen, policy, now=now, rng=rng)
        follow = _stop(record, model.Observation(), policy, now) if record.stop else Plan(record, wait=0.0)
        # What the process left behind in its session goes before anything else starts.
        return dataclasses.replace(follow, steps=(actions.Kill(), *follow.steps))
    if record.stop is not None:
        return _stop(record, seen, policy, now)
    if record.launch is not None:
        return _running(record, record.launch, seen, policy, now)
    return _waiting(record, seen, policy, now=now, rng=rng)


def _stop(record: model.Record, seen: model.Observation, policy: Policy, now: float) -> Plan:
    intent = record.stop
    assert intent is not None
    if record.launch is None:
        return Plan(record, (actions.Remove(),))
    if intent.signal_time is None:
        record = dataclasses.replace(record, stop=dataclasses.replace(intent, signal_time=now))
        return Plan(record, (actions.Terminate(),), wait=policy.poll_ready)
    left = intent.signal_time + intent.drain_timeout + policy.kill_margin - now
    if left <= 0:
        return Plan(record, (actions.Kill(),), wait=policy.poll_ready)
    return Plan(record, wait=min(left, policy.poll_ready))


def _running(record: model.Record, launch: model.Launch, seen: model.Observation, policy: Policy, now: float) -> Plan:
    since = (launch.stopped_since or now) if seen.stopped else None
    if since != launch.stopped_since:
        launch = dataclasses.replace(launch, stopped_since=since)
        record = dataclasses.replace(record, launch=launch)
    failure = _over_memory(record, seen, now) or _standing_still(launch, policy, now)
    if failure is not None and launch.killed_for is None:
        launch = dataclasses.replace(launch, killed_for=failure)
        return Plan(dataclasses.replace(record, launch=launch), (actions.Kill(),), wait=policy.poll_starting)
    ready = seen.report is not None and seen.report.state is model.State.READY
    if ready and launch.ready_time is None:
        launch = dataclasses.replace(launch, ready_time=now)
        record = dataclasses.replace(record, launch=launch, ready_time=now, unready_crashes=0)
    if launch.ready_time is not None:
        return Plan(record, wait=policy.poll_ready)
    share = policy.poll_share * (now - launch.time)
    return Plan(record, wait=min(policy.poll_ready, max(policy.poll_starting, share)))


def _standing_still(launch: model.Launch, policy: Policy, now: float) -> model.Failure | None:
    """Its callers would wait for ever: it neither answers nor refuses them."""
    if launch.stopped_since is None or now - launch.stopped_since < policy.stopped:
        return None
    message = f"the replica's process was stopped (SIGSTOP) for {policy.stopped:g} s, so it was ended and restarted"
    return model.Failure(model.Reason.EXITED, message, now, -9)


def _over_memory(record: model.Record, seen: model.Observation, now: float) -> model.Failure | None:
    limit = record.wish.memory_bytes
    if not limit or (seen.memory_bytes <= limit and not seen.out_of_memory_kills):
        return None
    used = "the kernel killed a process of it"
    if seen.memory_bytes > limit:
        used = f"it used {_mib(seen.memory_bytes)} MiB"
    return _out_of_memory(limit, used, now)


def _out_of_memory(limit: int, used: str, now: float) -> model.Failure:
    message = (
        f"the replica went over its memory limit of {_mib(limit)} MiB ({used}) and was restarted; "
        "raise compute.mem in cortex.yaml or lower processes_per_replica"
    )
    return model.Failure(model.Reason.OUT_OF_MEMORY, message, now, -9)


def _mib(size: int) -> int:
    return -(-size // 1024**2)


def _after_exit(
    record: model.Record, seen: model.Observation, policy: Policy, *, now: float, rng: random.Random
) -> model.Record:
    """The record once a run has ended. On request nothing failed; otherwise the next run's time is set here."""
    launch = record.launch
    assert launch is not None
    if record.stop is not None:
        return dataclasses.replace(record, launch=None)
    settled = launch.ready_time is not None and now - launch.ready_time >= policy.settled
    crashes = 0 if settled else record.crashes
    # The first crash of a replica that was serving costs its callers the most and says the least: no waiting.
    immediate = launch.ready_time is not None and crashes == 0
    return dataclasses.replace(
        record,
        launch=None,
        restart_count=record.restart_count + 1,
        crashes=crashes + 1,
        unready_crashes=0 if launch.ready_time is not None else record.unready_crashes + 1,
        not_before=now if immediate else now + policy.restart.delay(crashes, rng),
        last_failure=_failure(launch, record.wish.memory_bytes, seen, now),
    )


def _failure(launch: model.Launch, limit: int, seen: model.Observation, now: float) -> model.Failure:
    code = seen.exit_code or 0
    if launch.killed_for is not None:
        return launch.killed_for
    if seen.out_of_memory_kills:
        return _out_of_memory(limit, "the kernel killed it", now)
    if seen.report is not None and seen.report.failure is not None and seen.report.failure.time >= launch.time - 1:
        return dataclasses.replace(seen.report.failure, exit_code=code or seen.report.failure.exit_code)
    return model.Failure(model.Reason.EXITED, _exit_words(seen), now, code)


def _exit_words(seen: model.Observation) -> str:
    if seen.exit_code is None:
        words = "the process ended while the node was not there to see how"
    elif seen.exit_code < 0:
        words = f"the process was ended by signal {-seen.exit_code}"
    else:
        words = f"the process exited with status {seen.exit_code}"
    return f"{words}; its last output:\n{seen.boot_log}" if seen.boot_log else f"{words} and left no output"


def _waiting(record: model.Record, seen: model.Observation, policy: Policy, *, now: float, rng: random.Random) -> Plan:
    preparation = seen.preparation
    if preparation.progress is model.Progress.FAILED:
        delay = policy.prepare.delay(record.unready_crashes, rng)
        record = dataclasses.replace(
            record,
            unready_crashes=record.unready_crashes + 1,
            not_before=now + delay,
            last_failure=preparation.failure,
        )
        return Plan(record, wait=delay)
    if now < record.not_before:
        return Plan(record, wait=record.not_before - now)
    if preparation.progress is model.Progress.NONE:
        return Plan(record, (actions.Prepare(),))
    if preparation.prepared is not None:
        return Plan(record, (actions.Launch(),), wait=policy.poll_starting)
    return Plan(record)


def view(record: model.Record, seen: model.Observation, policy: Policy) -> model.View:
    """The replica as it looks from outside, with the node's reading of what it is doing."""
    state, message = _state(record, seen, policy)
    return model.View(
        id=record.wish.replica,
        revision=record.wish.revision,
        state=state,
        pid=record.launch.identity.pid if record.launch else 0,
        restart_count=record.restart_count,
        last_failure=record.last_failure,
        create_time=record.create_time,
        ready_time=record.ready_time,
        message=message,
        http_address=record.http_address,
        grpc_address=record.grpc_address,
    )


def _state(record: model.Record, seen: model.Observation, policy: Policy) -> tuple[model.State, str]:
    report = seen.report
    words = report.message if report else ""
    if record.stop is not None:
        return model.State.DRAINING, words or "finishing its requests"
    looping = record.unready_crashes >= policy.crash_loop
    if record.launch is not None:
        reported = report.state if report else model.State.STARTING
        if seen.stopped and reported is model.State.READY:
            return model.State.UNREADY, "its process is stopped"
        if looping and reported is model.State.STARTING:
            return model.State.BACKING_OFF, f"trying again after {record.unready_crashes} failures in a row"
        return reported, words or ("starting" if reported is model.State.STARTING else "")
    if looping or record.last_failure is not None:
        return model.State.BACKING_OFF, seen.preparation.message or "waiting to try again"
    building = seen.preparation.progress in (model.Progress.ENVIRONMENT, model.Progress.DONE)
    state = model.State.BUILDING_ENVIRONMENT if building else model.State.PENDING
    return state, seen.preparation.message or "accepted"
