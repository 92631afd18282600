"""ONNX models where Triton has no onnxruntime backend of its own."""

import onnxruntime
from cortex_batching import BatchedModel


class TritonPythonModel(BatchedModel):
    artifact = "model.onnx"

    def load(self, path, config, args):
        options = onnxruntime.SessionOptions()
        threads = self.parameter("intra_op_thread_count")
        if threads:
            options.intra_op_num_threads = int(threads)
        wanted = ["CPUExecutionProvider"]
        if args["model_instance_kind"] == "GPU":
            wanted.insert(0, ("CUDAExecutionProvider", {"device_id": int(args["model_instance_device_id"])}))
        self.session = onnxruntime.InferenceSession(path, options, providers=wanted)

    def compute(self, inputs, names):
        return dict(zip(names, self.session.run(names, inputs)))
