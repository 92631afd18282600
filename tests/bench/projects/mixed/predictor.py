"""Short answers, long ones and endless ones, as the caller asks."""

import time

ANSWER = {"ok": True}
PART = "x" * 65536


class PythonPredictor:
    def predict(self, payload):
        if payload.get("seconds"):
            time.sleep(payload["seconds"])
        return self.endless() if payload.get("endless") else ANSWER

    def endless(self):
        while True:
            yield PART
