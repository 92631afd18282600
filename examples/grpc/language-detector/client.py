"""Calls the service by its own .proto. `uv run --no-project --with grpcio-tools client.py [<gateway address>]`"""

import pathlib
import sys

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).parent))
messages, services = grpc.protos_and_services("languages.proto")

TEXT = """Where is the next station, please?
Wo ist bitte der nächste Bahnhof?
¿Dónde está la próxima estación, por favor?
Où est la prochaine gare, s'il vous plaît ?
"""

address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8888"
with grpc.insecure_channel(address) as channel:
    stub = services.LanguagesStub(channel)
    request = messages.DetectRequest(text="This is how all of them should be treated.")
    print(stub.Detect(request, timeout=10).language)
    for found in stub.DetectLines(messages.DetectRequest(text=TEXT), timeout=10):
        print(f"{found.language} {found.confidence:.2f}  {found.text}")
