"""A campaign: spoiled requests against one replica while another caller measures what it notices of them.

Measured is the time that well-formed requests of another process take, at 500 a second at most, in two kinds of periods
that take turns: while this process sends spoiled requests, and while it sends as many well-formed ones, of the same
doors and sizes and made before the period as the spoiled are. The machine's cores and the sender's own work are hence
on both sides of the ratio; what is left is what it costs the others that requests are wrong.
"""

import contextlib
import dataclasses
import pathlib
import socket
import statistics
from collections import Counter
from collections.abc import Callable

import grpc

from tests.fuzz import requests
from tests.fuzz.mutations import Mutator
from tests.fuzz.other import Other
from tests.runtime.replica import Replica

_SECONDS = 30.0
_PERIOD = 500  # requests
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
        other = Other(self._replica.http_port)
        while more(report.sent):
            numbers = range(report.sent, report.sent + _PERIOD)
            periods = [(report.quiet, self._well_formed, range(_PERIOD)), (report.noisy, self._spoiled, numbers)]
            for into, make, chosen in periods if report.sent // _PERIOD % 2 else periods[::-1]:
                made = [make(number) for number in chosen]
                other.take()
                for send in made:
                    send()
                times, failed = other.take()
                into += times
                report.failed += failed
            report.sent += _PERIOD
        other.stop()
        self._channel.close()
        report.memory_after = self.memory()
        return report

    def _well_formed(self, number: int) -> Callable[[], object]:
        """As much work for the sender, and nothing wrong with it."""
        if number % 10 < 3:
            data = requests.grpc_plain()
            return lambda: self._call(data, timeout=_SECONDS)
        data = requests.large_plain() if number % 10 == 3 and number % 40 < 10 else requests.plain()
        return lambda: self._exchange(data, is_whole=True)

    def memory(self) -> int:
        """Resident bytes of the front and its workers."""
        pids = [self._replica.process.pid, *self._replica.worker_pids]
        lines = [line for pid in pids for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()]
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))

    def _warm_up(self) -> None:
        """What is imported and cached at the first mistake of each kind is no leak."""
        for number in range(300):
            self._spoiled(-1 - number)()

    def _spoiled(self, number: int) -> Callable[[], None]:
        mutator = self.spoiled(number)
        if mutator.random.random() < 0.3:
            message = requests.grpc_message(mutator)
            return lambda: self._count(number, self._grpc(message))
        data, is_whole = requests.http(mutator)
        return lambda: self._count(number, self._exchange(data, is_whole=is_whole))

    def _count(self, number: int, status: str) -> None:
        if number >= 0:
            self.report.statuses[status] += 1
        if (status.startswith("5") and status not in _HONEST) or status in {code.name for code in _OURS}:
            self.report.bad.append((number, status))

    def _grpc(self, message: bytes) -> str:
        try:
            self._call(message, timeout=_SECONDS)
        except grpc.RpcError as error:
            return str(error.code().name)
        return "OK"

    def _exchange(self, data: bytes, *, is_whole: bool) -> str:
        """The status, or how the connection ended. What is not whole leaves the server waiting for more, so it ends."""
        with self._replica.connect() as sock:
            sock.settimeout(_SECONDS)
            with contextlib.suppress(OSError):
                sock.sendall(data)
                if not is_whole:
                    sock.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                answer = sock.recv(65536)
                return answer[9:12].decode("latin-1") if answer else "closed"
        return "broken"


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
