"""Converts temperatures with ONNX models: one per unit, in versions, kept and run by the replica."""


class ONNXPredictor:
    def __init__(self, onnx_client, config):
        self.client = onnx_client

    def predict(self, payload, query_params):
        model = query_params.get("to", "fahrenheit")
        version = query_params.get("version", "latest")
        (converted,) = self.client.predict(payload["celsius"], model, version)
        return {"to": model, "values": converted.reshape(-1).tolist()}
