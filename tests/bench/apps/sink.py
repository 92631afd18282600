"""Takes OTLP spans on $BENCH_PORT and forgets them: a collector that costs as little as one can."""

import os
from concurrent import futures

import grpc


class Sink(grpc.GenericRpcHandler):
    def service(self, details):
        return grpc.unary_unary_rpc_method_handler(lambda request, context: b"")


server = grpc.server(futures.ThreadPoolExecutor(2))
server.add_generic_rpc_handlers((Sink(),))
server.add_insecure_port(f"127.0.0.1:{os.environ['BENCH_PORT']}")
server.start()
server.wait_for_termination()
