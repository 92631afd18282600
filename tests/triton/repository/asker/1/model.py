"""Asks another model of the repository, and adds one."""

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self.one(request) for request in requests]

    def one(self, request):
        x = pb_utils.get_input_tensor_by_name(request, "x")
        asked = pb_utils.InferenceRequest(model_name="double", requested_output_names=["y"], inputs=[x])
        answer = asked.exec()
        if answer.has_error():
            raise pb_utils.TritonModelException(answer.error().message())
        y = pb_utils.get_output_tensor_by_name(answer, "y").as_numpy()
        return pb_utils.InferenceResponse([pb_utils.Tensor("y", y + 1)])
