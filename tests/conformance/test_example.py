"""The example with binary tensors answers; its own client, which needs tritonclient, runs in `make conformance`."""

import json
import pathlib

import numpy as np

from tests.runtime import replica

FOLDER = pathlib.Path(__file__).parents[2] / "examples" / "numpy" / "image-classifier-binary"
DECLARED = {
    "inputs": [{"name": "IMAGE", "datatype": "UINT8", "shape": [-1, -1, -1, 3]}],
    "outputs": [
        {"name": "LABEL", "datatype": "BYTES", "shape": [-1]},
        {"name": "SCORES", "datatype": "FP32", "shape": [-1, 4]},
    ],
}


def test_the_image_classifier_knows_a_checkerboard(tmp_path: pathlib.Path) -> None:
    with replica.running(tmp_path, (FOLDER / "predictor.py").read_text(), predictor=DECLARED) as served:
        row, column = np.indices((224, 224)) // 4
        images = np.repeat(((np.stack([row, row + column]) % 2) * 200)[..., None], 3, axis=-1).astype("u1")
        shape, size = list(images.shape), images.nbytes  # large enough to be read into shared memory
        tensor = {"name": "IMAGE", "datatype": "UINT8", "shape": shape, "parameters": {"binary_data_size": size}}
        head = json.dumps({"inputs": [tensor]}).encode()
        headers = {"inference-header-content-length": str(len(head))}
        answer = served.client.post("/v2/models/demo/infer", content=head + images.tobytes(), headers=headers)
        label, scores = answer.json()["outputs"]
        assert label["data"] == ["horizontal stripes", "checkerboard"]
        assert scores["shape"] == [2, 4]
        events = served.client.post("/v2/models/demo/generate", content=(FOLDER / "sample.json").read_bytes())
        assert events.json()["LABEL"] == "vertical stripes"
        sample = (FOLDER / "sample.json").read_bytes()
        plain = served.client.post("/", content=sample, headers={"content-type": "application/json"})
        assert plain.json()["LABEL"] == ["vertical stripes"]
