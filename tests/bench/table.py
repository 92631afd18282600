"""Which rows there are, in the order of the table."""

from collections.abc import Callable, Mapping

from tests.bench.rounds import Finding
from tests.bench.rows import models, streams, throughput, waiting, waking, workers
from tests.bench.rows.throughput import Options

ROWS: Mapping[str, Callable[[Options], list[Finding]]] = {
    "noop": throughput.noop,
    "echo": throughput.echo,
    "gateway": throughput.gateway,
    "iris": throughput.iris,
    "step": throughput.step,
    "alone": throughput.alone,
    "tensor": throughput.tensor,
    "grpc": throughput.grpc,
    "streaming": streams.streaming,
    "tracing": throughput.tracing,
    "stalled": waiting.stalled,
    "deadline": waiting.deadline,
    "recovery": workers.recovery,
    "weights": workers.weights,
    "model": models.load,
    "cold": workers.cold,
    "wake": waking.wake,
}
