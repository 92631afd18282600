"""The Open Inference Protocol through the gateway to a real replica: by path, header and host."""

import asyncio
import pathlib
import subprocess
import sys

import grpc

from cortex.inference.v2 import grpc_inference_service_pb2 as pb
from services.apiserver import model
from tests.conformance import oip_model
from tests.gateway import rig as rigs
from tests.runtime import replica as real


async def test_the_conformance_suite_passes_through_the_gateway(rig: rigs.Rig, tmp_path: pathlib.Path) -> None:
    with real.running(tmp_path, oip_model.SIMPLE, config=oip_model.config(tmp_path)) as replica:
        endpoint = model.Endpoint("real", f"127.0.0.1:{replica.http_port}", replica.grpc_address)
        await rig.publish(rigs.route("text", {"r1": (100, [endpoint])}))
        gateway = f"127.0.0.1:{rig.data_port}"
        command = [sys.executable, "-m", "tests.conformance.oip", "--http", f"http://{gateway}/text", "--grpc", gateway]
        command += ["--model", "demo", "--header", "cortex-api:text"]
        command += ["--admin-token-file", str(oip_model.token_file(tmp_path))]
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=100, check=False
        )
        failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
        assert done.returncode == 0 and not failed, done.stdout[-3000:] + done.stderr
        assert "163 PASS" in done.stdout


async def test_the_host_names_the_api_where_no_header_does(rig: rigs.Rig, tmp_path: pathlib.Path) -> None:
    with real.running(tmp_path, oip_model.SIMPLE, config={"grpcAddress": "free"}) as replica:
        endpoint = model.Endpoint("real", f"127.0.0.1:{replica.http_port}", replica.grpc_address)
        await rig.publish(rigs.route("text", {"r1": (100, [endpoint])}))
        assert await _live(rig, "text.localhost") == "OK"
        assert await _live(rig, f"text.localhost:{rig.data_port}") == "OK"
        assert await _live(rig, "other.localhost") == "INVALID_ARGUMENT"
        assert await _live(rig, "text.localhost", ("cortex-api", "other")) == "NOT_FOUND"
        assert await _live(rig, "other.localhost", ("cortex-api", "text")) == "OK"


async def test_large_tensors_pass_through_the_gateway(rig: rigs.Rig, tmp_path: pathlib.Path) -> None:
    rows = 131_072  # 8 MiB a tensor; gRPC's own limit for what it receives is 4 MiB
    with real.running(tmp_path, oip_model.SIMPLE, config={"grpcAddress": "free"}) as replica:
        endpoint = model.Endpoint("real", f"127.0.0.1:{replica.http_port}", replica.grpc_address)
        await rig.publish(rigs.route("text", {"r1": (100, [endpoint])}))
        request = pb.ModelInferRequest(model_name="demo", raw_input_contents=[b"\x02\0\0\0" * 16 * rows] * 2)
        for name in ("INPUT0", "INPUT1"):
            request.inputs.add(name=name, datatype="INT32", shape=[rows, 16])
        options = (("grpc.max_receive_message_length", -1), ("grpc.default_authority", "text.localhost"))
        async with grpc.aio.insecure_channel(f"127.0.0.1:{rig.data_port}", options=options) as channel:
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer"
            )
            answer = pb.ModelInferResponse.FromString(await call(request.SerializeToString(), timeout=60))
        assert answer.raw_output_contents[0] == b"\x04\0\0\0" * 16 * rows
        assert answer.raw_output_contents[1] == bytes(4 * 16 * rows)


async def _live(rig: rigs.Rig, host: str, *metadata: tuple[str, str]) -> str:
    options = (("grpc.default_authority", host),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{rig.data_port}", options=options) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/inference.GRPCInferenceService/ServerLive"
        )
        try:
            answer = pb.ServerLiveResponse.FromString(await call(b"", metadata=metadata, timeout=15))
            return "OK" if answer.live else "not live"
        except grpc.aio.AioRpcError as error:
            return error.code().name
