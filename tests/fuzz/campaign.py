"""A campaign: spoiled requests against one replica while another caller measures what it notices of them."""

import contextlib
import dataclasses
import pathlib
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import grpc

from tests.fuzz import requests
from tests.fuzz.mutations import Mutator
from tests.runtime.replica import Replica

_SECONDS = 10.0
_QUIET_REQUESTS = 1500
_GRPC = "/inference.GRPCInferenceService/ModelInfer"
# What a mistake of the caller may be answered with over gRPC: the rest would be ours.
_HONEST = ("501", "504")  # an extension we do not have; a deadline of a microsecond
_OURS = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS)


@dataclasses.dataclass(slots=True)
class Report:
    """`bad` holds the number of each request that got a 5xx, or no answer where one is due."""

    sent: int = 0
    statuses: "Counter[str]" = dataclasses.field(default_factory=Counter)
    bad: list[tuple[int, str]] = dataclasses.field(default_factory=list)
    memory_before: int = 0
    memory_after: int = 0
    # Seconds of the other caller's requests: beside well-formed ones of the same sender, and beside spoiled ones.
    quiet: list[float] = dataclasses.field(default_factory=list)
    noisy: list[float] = dataclasses.field(default_factory=list)
    failed: int = 0  # requests of the other caller


class Campaign:
    """`seed` and a request's number make the request again (`spoiled`)."""

    def __init__(self, replica: Replica, seed: int) -> None:
        self._replica = replica
        self._seed = seed
        self.report = Report()
        options = (("grpc.max_receive_message_length", -1),)
        self._channel = grpc.insecure_channel(replica.grpc_address, options=options)
        self._call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(_GRPC)

    def spoiled(self, number: int) -> Mutator:
        return Mutator(self._seed * 1_000_003 + number)

    def run(self, more: Callable[[int], bool]) -> Report:
        """Sends as long as `more` says so of the number of requests sent."""
        report = self.report
        self._warm_up()
        report.memory_before = self.memory()
        with self._watched(report.quiet):
            for number in range(_QUIET_REQUESTS):
                self._well_formed(number)
        with self._watched(report.noisy):
            while more(report.sent):
                self._one(report.sent)
                report.sent += 1
        self._channel.close()
        report.memory_after = self.memory()
        return report

    @contextlib.contextmanager
    def _watched(self, into: list[float]) -> Iterator[None]:
        stop = threading.Event()
        other = threading.Thread(target=self._watch, args=(into, stop), daemon=True)
        other.start()
        try:
            yield
        finally:
            stop.set()
            other.join(_SECONDS)

    def _well_formed(self, number: int) -> None:
        """As much work for the sender, and nothing wrong with it."""
        if number % 10 < 3:
            self._call(requests.grpc_plain(), timeout=_SECONDS)
        else:
            self._exchange(requests.plain())

    def memory(self) -> int:
        """Resident bytes of the front and its workers."""
        pids = [self._replica.process.pid, *self._replica.worker_pids]
        lines = [line for pid in pids for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()]
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))

    def _warm_up(self) -> None:
        """What is imported and cached at the first mistake of each kind is no leak."""
        for number in range(300):
            self._one(-1 - number)

    def _one(self, number: int) -> None:
        mutator = self.spoiled(number)
        status = self._grpc(mutator) if mutator.random.random() < 0.3 else self._http(mutator)
        if number >= 0:
            self.report.statuses[status] += 1
        if (status.startswith("5") and status not in _HONEST) or status in {code.name for code in _OURS}:
            self.report.bad.append((number, status))

    def _grpc(self, mutator: Mutator) -> str:
        try:
            self._call(requests.grpc_message(mutator), timeout=_SECONDS)
        except grpc.RpcError as error:
            return str(error.code().name)
        return "OK"

    def _http(self, mutator: Mutator) -> str:
        return self._exchange(requests.http(mutator))

    def _exchange(self, data: bytes) -> str:
        """The status, or how the connection ended: a spoiled head may leave the server waiting for more."""
        with self._replica.connect() as sock:
            sock.settimeout(_SECONDS)
            with contextlib.suppress(OSError):
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                answer = sock.recv(65536)
                return answer[9:12].decode("latin-1") if answer else "closed"
        return "broken"

    def _watch(self, into: list[float], stop: threading.Event) -> None:
        """Another caller, at an even pace."""
        data = requests.plain()
        with self._replica.connect() as sock:
            sock.settimeout(_SECONDS)
            while not stop.is_set():
                began = time.perf_counter()
                sock.sendall(data)
                if not sock.recv(65536).startswith(b"HTTP/1.1 200"):
                    self.report.failed += 1
                into.append(time.perf_counter() - began)
                stop.wait(0.002)


def percentile(seconds: list[float], percent: int) -> float:
    return statistics.quantiles(seconds, n=100)[percent - 1]


def told(report: Report) -> str:
    before, after = percentile(report.quiet, 99), percentile(report.noisy, 99)
    grown = (report.memory_after - report.memory_before) / 2**20
    return "\n".join(
        [
            f"requests {report.sent}: {dict(report.statuses.most_common())}",
            f"answered with a 5xx or its like: {len(report.bad)} {report.bad[:5]}",
            f"memory {report.memory_before / 2**20:.1f} -> {report.memory_after / 2**20:.1f} MiB ({grown:+.1f})",
            f"another caller: {len(report.noisy)} requests, {report.failed} failed; p50 "
            f"{1e3 * percentile(report.quiet, 50):.2f} -> {1e3 * percentile(report.noisy, 50):.2f} ms, p99 "
            f"{1e3 * before:.2f} -> {1e3 * after:.2f} ms ({after / before:.2f} x)",
        ]
    )
