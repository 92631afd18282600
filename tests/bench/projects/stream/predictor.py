"""Streams as many small parts as asked for; the first says when it was made."""

import time


class PythonPredictor:
    def predict(self, payload):
        return self.parts(payload["parts"])

    def parts(self, count):
        yield f"made {time.monotonic_ns()}"
        for number in range(count - 1):
            yield f"token {number}"
