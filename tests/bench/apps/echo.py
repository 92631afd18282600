"""The ceiling for a small answer from CPython: uvloop, httptools, a constant. Listens on $BENCH_PORT."""

import asyncio
import os

import httptools
import uvloop

ANSWER = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{"ok":true}'


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.parser = transport, httptools.HttpRequestParser(self)

    def data_received(self, data):
        self.parser.feed_data(data)

    def on_message_complete(self):
        self.transport.write(ANSWER)


async def main():
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", int(os.environ["BENCH_PORT"]))
    await server.serve_forever()


uvloop.run(main())
