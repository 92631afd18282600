"""A predictor that does what the request says: how the end-to-end tests make things happen inside a worker."""

import os
import signal
import sys
import time

VERSION = "v1"


class PythonPredictor:
    def __init__(self, config):
        print("loaded", VERSION)

    def predict(self, payload, query_params, headers):
        payload = payload if isinstance(payload, dict) else {"size": len(payload)}
        if payload.get("log"):
            print(payload["log"])
        if payload.get("raise"):
            raise ValueError(payload["raise"])
        if payload.get("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        if payload.get("chunks"):
            return self.chunks(payload)
        time.sleep(payload.get("sleep", 0))
        return {"version": VERSION, "pid": os.getpid(), "python": sys.executable, "size": payload.get("size", 0)}

    def chunks(self, payload):
        for number in range(payload["chunks"]):
            time.sleep(payload.get("sleep", 0))
            yield {"number": number}
        yield {"end": VERSION}
