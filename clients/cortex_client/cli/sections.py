"""The sections of `cortex describe`, each from a message to text."""

from collections.abc import Iterable
from typing import Any

import click

from cortex.apiserver.v1 import api_pb2, event_pb2, spec_pb2
from cortex.autoscaler.v1 import autoscaler_service_pb2
from cortex.type.v1 import condition_pb2
from cortex_client import names, rollouts
from cortex_client.cli import output
from cortex_client.project import quantities


def section(title: str, text: str) -> str:
    if not text:
        return ""
    return click.style(title, bold=True) + "\n" + "\n".join(f"  {line}" if line else "" for line in text.splitlines())


def head(api: api_pb2.Api) -> str:
    status = api.status
    rows = [
        ["Name:", names.last(api.name)],
        ["Namespace:", names.namespace_of(api.name)],
        ["Status:", output.status(rollouts.summary(api))],
        ["URL:", status.url or "-"],
        ["Revision:", names.last(status.serving_revision) or "-"],
        ["Generation:", f"{api.generation} (observed {status.observed_generation})"],
        ["Replicas:", replica_count(api)],
        ["Created:", output.clock_time(api.create_time)],
        ["Changed:", f"{output.clock_time(api.update_time)} ({output.age(api.update_time)} ago)"],
    ]
    return "\n".join(f"{label:<12}{text}" for label, text in rows)


def replica_count(api: api_pb2.Api) -> str:
    status = api.status
    return f"{status.ready_replicas} ready of {status.desired_replicas} wanted, {_bounds(api.spec)}"


def _bounds(spec: spec_pb2.ApiSpec) -> str:
    scaling = spec.autoscaling
    lowest = scaling.min_replicas if scaling.HasField("min_replicas") else 1
    return f"between {lowest} and {scaling.max_replicas or 100}"


def conditions(api: api_pb2.Api) -> str:
    rows = []
    for found in api.status.conditions:
        truth = condition_pb2.ConditionStatus.Name(found.status).removeprefix("CONDITION_STATUS_").capitalize()
        colour = {"True": "green", "False": "red"}.get(truth, "yellow")
        first = output.gist(found.message)
        reason = rollouts.reason(found.reason) if found.reason else ""
        rows.append([found.type, click.style(truth, fg=colour), reason, output.age(found.last_transition_time), first])
    return section("Conditions", output.table(["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"], rows)) if rows else ""


def rollout(api: api_pb2.Api) -> str:
    found = api.status.rollout
    if not found.to_revision:
        return ""
    state = api_pb2.RolloutState.Name(found.state).removeprefix("ROLLOUT_STATE_").lower().replace("_", " ")
    move = f"{names.last(found.from_revision) or '(nothing)'} -> {names.last(found.to_revision)}"
    lines = [f"{move}: {state}" + (f", {rollouts.reason(found.reason)}" if found.reason else "")]
    lines.append(f"began {output.clock_time(found.start_time)}, ended {output.clock_time(found.end_time)}")
    if found.message:
        lines += ["", *found.message.rstrip().splitlines()]
    return section("Rollout", "\n".join(lines))


def replicas(api: api_pb2.Api) -> str:
    rows, failures = [], []
    for replica in api.status.replicas:
        state = api_pb2.ReplicaState.Name(replica.state).removeprefix("REPLICA_STATE_").lower().replace("_", " ")
        pid = str(replica.pid) if replica.pid else "-"
        age, revision = output.age(replica.create_time), names.last(replica.revision)
        rows.append([replica.id, revision, state, pid, str(replica.restart_count), age, replica.message])
        if replica.HasField("last_failure"):
            failures.append(_failure(replica))
    if not rows:
        return ""
    text = output.table(["ID", "REVISION", "STATE", "PID", "RESTARTS", "AGE", "MESSAGE"], rows)
    return section("Replicas", "\n\n".join([text, *failures]))


def _failure(replica: api_pb2.Replica) -> str:
    failure = replica.last_failure
    head = f"{replica.id} last failed {output.age(failure.time)} ago: {rollouts.reason(failure.reason)}"
    if failure.exit_code:
        head += f", exit status {failure.exit_code}"
    return "\n".join([head, *(f"  {line}" for line in failure.message.rstrip().splitlines())])


def traffic(api: api_pb2.Api) -> str:
    rows = [[names.last(target.revision), f"{target.percent}%"] for target in api.status.traffic]
    return section("Traffic", output.table(["REVISION", "SHARE"], rows)) if rows else ""


def decision(found: autoscaler_service_pb2.Decision) -> str:
    """The decision, the term that won, and every step to it."""
    terms = autoscaler_service_pb2.DecisionTerm
    winner = terms.Name(found.winning_term).removeprefix("DECISION_TERM_").lower()
    lines = [
        f"{found.current_replicas} -> {found.desired_replicas} replicas by {winner}: {found.explanation}",
        f"{found.average_in_flight:.3g} requests in flight on average, {found.in_flight} now, "
        f"{found.held_requests} held; target {found.target_in_flight:g} per replica",
        f"policy {found.policy or '-'}, {output.age(found.last_time)} ago",
    ]
    rows = []
    for step in found.steps:
        won = "*" if step.term == found.winning_term else ""
        name = terms.Name(step.term).removeprefix("DECISION_TERM_").lower()
        rows.append([won, name, f"{step.replicas:.4g}", step.detail])
    if rows:
        lines += ["", output.table(["", "TERM", "REPLICAS", "DETAIL"], rows)]
    return "\n".join(lines)


def timeouts(api: api_pb2.Api) -> str:
    """What bounds a request, defaults included."""
    networking, update = api.spec.networking, api.spec.update_strategy
    none_left = networking.HasField("request_timeout") and not networking.request_timeout.ToNanoseconds()
    retried = networking.retry_policy != spec_pb2.RETRY_POLICY_DISABLED
    rows = [
        ["request", "none" if none_left else _seconds(networking, "request_timeout", 60)],
        ["activation from zero", _seconds(networking, "activation_timeout", 120)],
        ["drain", _seconds(update, "drain_timeout", 60)],
        ["progress of a rollout", _seconds(update, "progress_deadline", 600)],
        ["retries by the gateway", "yes" if retried else "only of what reached no replica"],
        ["largest request body", quantities.format_bytes(networking.max_request_bytes or 64 * 1024 * 1024)],
    ]
    return section("Limits", output.table(["LIMIT", "VALUE"], rows))


def _seconds(message: Any, field: str, default: float) -> str:
    if not message.HasField(field):
        return f"{output.duration(default)} (default)"
    return output.duration(getattr(message, field).ToNanoseconds() / 1e9)


def events(found: Iterable[event_pb2.Event]) -> str:
    rows = [event_row(event) for event in found]
    return output.table(["AGE", "TYPE", "COUNT", "BY", "MESSAGE"], rows) if rows else "(none)"


def event_row(event: event_pb2.Event) -> list[str]:
    colours = {event_pb2.EVENT_SEVERITY_WARNING: "yellow", event_pb2.EVENT_SEVERITY_ERROR: "red"}
    kind = output.tint(event.type, colours.get(event.severity))
    first = output.gist(event.message)
    return [output.age(event.time), kind, str(max(1, event.count)), event.actor or "-", first]


def not_in_effect(api: api_pb2.Api) -> str:
    found = api.status.not_in_effect or api.spec.not_in_effect
    return section("Not in effect", "\n".join(found)) if found else ""
