"""What `up`, `down`, `run` and `supervise` do. Each can be given at any time, in any order, by two people at once."""

import asyncio
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

from services.chassis import processes
from services.launcher import addresses, admin, catalog, cluster, layout, locking, logs, probing, replicas, supervisor

_LOCK_TIMEOUT = 60.0


class CommandFailed(Exception):
    """The message says what to do; the command line shows it and exits with status 1."""


def say(words: str) -> None:
    sys.stderr.write(words + "\n")
    sys.stderr.flush()


def configure(
    where: layout.Layout, environ: Mapping[str, str], data_port: int | None, control_port: int | None
) -> cluster.Cluster:
    """The cluster with its addresses chosen and written down."""
    where.create()
    known = cluster.load(where.cluster)
    page = admin.place(where.gateway, known.addresses.admin if known else "", environ)
    ports = {"data_port": data_port, "control_port": control_port}
    try:
        chosen = addresses.choose(known, environ, admin=page, rng=random.Random(), **ports)
    except addresses.AddressTaken as error:
        raise CommandFailed(str(error)) from error
    found = cluster.Cluster(chosen, None, known.processes if known else {})
    cluster.save(where.cluster, found)
    return found


def up(
    where: layout.Layout,
    environ: Mapping[str, str],
    *,
    data_port: int | None,
    control_port: int | None,
    timeout: float,
) -> None:
    """Starts the supervisor unless it runs, and waits until every service is ready."""
    where.create()
    with locking.hold(where.up_lock, timeout=_LOCK_TIMEOUT):
        known, started = cluster.load(where.cluster), None
        if known is not None and known.running:
            say(f"the cluster in {where.home} is running already")
            _warn_of_ports(known, data_port, control_port)
        else:
            known = configure(where, environ, data_port, control_port)
            started = _daemonise(where, environ)
        _wait(where, known, environ, timeout, give_up=lambda: started is not None and started.poll() is not None)


def _warn_of_ports(known: cluster.Cluster, data_port: int | None, control_port: int | None) -> None:
    running = (known.addresses.data, known.addresses.control)
    for wanted, address in zip((data_port, control_port), running, strict=True):
        if wanted is not None and not address.endswith(f":{wanted}"):
            raise CommandFailed(f"it listens on {address}, not on port {wanted}; stop it first: cortex down")


def _daemonise(where: layout.Layout, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    log = logs.open_for_child(where.service_logs / "launcher.log")
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "services.launcher", "supervise"],
            env={**environ, "CORTEX_HOME": str(where.home)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)


def _wait(
    where: layout.Layout,
    known: cluster.Cluster,
    environ: Mapping[str, str],
    timeout: float,
    *,
    give_up: Callable[[], bool],
) -> None:
    held_down = {path.name for path in where.stopped.iterdir()}
    services = catalog.services(known.addresses, where, environ)
    wanted = [service for service in services if service.name not in held_down]
    texts = {service.name: service.address for service in wanted}
    missing = probing.wait(
        wanted,
        timeout=timeout,
        on_ready=lambda name, seconds: say(f"  {name:<11} ready after {seconds:.1f} s   {texts[name]}"),
        give_up=give_up,
    )
    for name in sorted(held_down):
        say(f"  {name:<11} is held down; start it with: python -m services.launcher start-service {name}")
    # Adopted services are ready before their supervisor has said that it is there.
    ends = time.monotonic() + 5.0
    while not _supervised(where) and not give_up() and time.monotonic() < ends:
        time.sleep(0.02)
    if give_up():
        raise CommandFailed(f"the supervisor ended at once; see {where.service_logs / 'launcher.log'}")
    if missing:
        paths = ", ".join(str(where.service_logs / f"{name}.log") for name in missing)
        raise CommandFailed(f"not ready after {timeout:.0f} s: {', '.join(missing)}; see {paths}")
    say(f"data plane     http://{known.addresses.data}")
    say(f"control plane  http://{known.addresses.control}")
    say(f"metrics        http://{known.addresses.metrics}/metrics")


def _supervised(where: layout.Layout) -> bool:
    known = cluster.load(where.cluster)
    return known is not None and known.running


def supervise(where: layout.Layout, environ: Mapping[str, str]) -> None:
    """The daemon's own life."""
    logging.basicConfig(level="INFO", stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    try:
        with locking.hold(where.supervisor_lock, timeout=5.0):
            known = cluster.load(where.cluster)
            if known is None:
                raise CommandFailed(f"{where.cluster} is missing or broken; run: cortex up")
            keeper = supervisor.Supervisor(
                where,
                known,
                catalog.services(known.addresses, where, environ),
                identity=processes.identify(os.getpid()),
                rng=random.Random(),
            )
            asyncio.run(keeper.run())
    except locking.Busy as error:
        raise CommandFailed(f"this cluster has a supervisor already: {error}") from error


def run(where: layout.Layout, environ: Mapping[str, str], *, data_port: int | None, control_port: int | None) -> None:
    """In the foreground, until Ctrl-C."""
    where.create()
    with locking.hold(where.up_lock, timeout=_LOCK_TIMEOUT):
        known = cluster.load(where.cluster)
        if known is not None and known.running:
            raise CommandFailed(f"the cluster in {where.home} is running already; stop it first: cortex down")
        configure(where, environ, data_port, control_port)
    supervise(where, environ)


def down(where: layout.Layout, environ: Mapping[str, str], *, timeout: float) -> None:
    """Drains the replicas, ends every process, and leaves nothing; a cluster that does not run is no error."""
    known = cluster.load(where.cluster)
    if known is None:
        say(f"no cluster in {where.home}")
        return
    where.create()
    with locking.hold(where.up_lock, timeout=_LOCK_TIMEOUT):
        known = cluster.load(where.cluster) or known
        where.drain_timeout.write_text(str(timeout))
        if known.running:
            _end_supervisor(known, timeout)
        known = cluster.load(where.cluster) or known
        if any(process.alive for process in known.processes.values()) or replicas.any_recorded(where.replicas):
            # No supervisor, or it did not manage: the same work, done from here.
            services = catalog.services(known.addresses, where, environ)
            rest = supervisor.Supervisor(where, known, services, identity=None, rng=random.Random())
            asyncio.run(rest.stop(timeout))
    say(f"the cluster in {where.home} is down")


def _end_supervisor(known: cluster.Cluster, timeout: float) -> None:
    assert known.supervisor is not None
    processes.send_signal(known.supervisor, signal.SIGTERM)
    # Drain of the gateway and of the replicas, their margins, and twice the grace of the services.
    ends = time.monotonic() + timeout + 45
    while processes.alive(known.supervisor) and time.monotonic() < ends:
        time.sleep(0.05)
    if processes.send_signal(known.supervisor, signal.SIGKILL):
        say("the supervisor did not end in time and was killed")


def set_service(where: layout.Layout, name: str, *, down: bool, timeout: float = 15.0) -> None:
    """Keeps a service down, or lets it up again; returns once it is so. Survives a restart of the supervisor."""
    known = cluster.load(where.cluster)
    name = {"envoy": "gateway"}.get(name, name)
    if known is None or name not in cluster.SERVICES:
        raise CommandFailed(f"no service {name!r}; there are: {', '.join(cluster.SERVICES)}")
    marker = where.stopped / name
    if down:
        marker.touch()
    else:
        marker.unlink(missing_ok=True)
    ends = time.monotonic() + timeout
    while known is not None and known.running and time.monotonic() < ends:
        process = known.processes.get(name)
        if process is not None and process.alive is not down:
            return
        time.sleep(0.02)
        known = cluster.load(where.cluster)
    if known is not None and known.running:
        raise CommandFailed(f"{name} is still {'up' if down else 'down'} after {timeout:.0f} s")
