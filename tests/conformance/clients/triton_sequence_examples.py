"""The public examples with sequences, as triton_examples.py. The model keeps a running sum per `sequence_id`."""

import queue
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import triton_examples as examples
import tritonclient.grpc as grpcclient
import tritonclient.http as httpclient
from triton_examples import Target, case

examples.CASES.clear()


def step(module: Any, value: int) -> Any:
    tensor = module.InferInput("INPUT", [1, 1], "INT32")
    tensor.set_data_from_numpy(np.array([[value]], dtype=np.int32))
    return tensor


@case
def simple_sequence_http_sync_client(t: Target) -> None:
    with t.http() as client:
        sequences(lambda value, **how: client.infer(t.model, [step(httpclient, value)], **how))


@case
def simple_sequence_grpc_sync_client(t: Target) -> None:
    with t.grpc() as client:
        sequences(lambda value, **how: client.infer(t.model, [step(grpcclient, value)], **how))


def sequences(infer: Callable[..., Any]) -> None:
    """Two sequences at once, one named by a number and one by text; each has a sum of its own."""
    values, sums = [11, 7, 5, 3, 2, 0, 1], {1007: [], "abc": []}  # type: dict[Any, list[int]]
    for at, value in enumerate(values):
        for name, sign in ((1007, 1), ("abc", -1)):
            marks = {"sequence_start": at == 0, "sequence_end": at == len(values) - 1}
            sums[name].append(int(infer(sign * value, sequence_id=name, **marks).as_numpy("OUTPUT")[0][0]))
    assert sums[1007] == np.cumsum(values).tolist() and sums["abc"] == (-np.cumsum(values)).tolist()


@case
def simple_sequence_grpc_stream_client(t: Target) -> None:
    done: queue.Queue[Any] = queue.Queue()
    with t.grpc() as client:
        client.start_stream(lambda result, error: done.put((result, error)))
        values = [11, 7, 5, 3]
        for at, value in enumerate(values):
            marks = {"sequence_start": at == 0, "sequence_end": at == len(values) - 1}
            client.async_stream_infer(t.model, [step(grpcclient, value)], sequence_id=5, request_id=str(at), **marks)
        found = []
        for _ in values:
            result, error = done.get(timeout=20)
            assert error is None, error
            found.append(int(result.as_numpy("OUTPUT")[0][0]))
        client.stop_stream()
    assert found == np.cumsum(values).tolist()


if __name__ == "__main__":
    sys.exit(examples.main())
