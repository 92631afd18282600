"""Sends four images: `uv run --no-project --with 'tritonclient[http]' client.py [<gateway>/image-classifier-binary]`"""

import sys

import numpy as np
import tritonclient.http as triton

SIZE = 224
url = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8888/image-classifier-binary"
model = sys.argv[2] if len(sys.argv) > 2 else "image-classifier-binary"

row, column = np.indices((SIZE, SIZE)) // 4
noise = np.random.default_rng(0).normal(0, 8, (4, SIZE, SIZE, 3))
patterns = np.stack([row * 0, row % 2, column % 2, (row + column) % 2]) * 200 + 20
images = (patterns[..., None] + noise).clip(0, 255).astype(np.uint8)

with triton.InferenceServerClient(url.removeprefix("http://")) as client:
    image = triton.InferInput("IMAGE", list(images.shape), "UINT8")
    image.set_data_from_numpy(images)  # 602,112 bytes; as JSON they would be four times as many
    answer = client.infer(model, [image])
for label, scores in zip(answer.as_numpy("LABEL"), answer.as_numpy("SCORES"), strict=True):
    print(f"{scores.max():.2f}  {label.decode()}")
