"""`python write.py FOLDER`: random weights (bfloat16), questions, and what float32 on the CPU answers to them."""

import json
import pathlib
import sys

import torch
from network import LENGTH, WORDS, Network, load

torch.manual_seed(0)
folder = pathlib.Path(sys.argv[1])
torch.save(Network().to(torch.bfloat16).state_dict(), folder / "weights.pt")
tokens = torch.randint(WORDS, (16, LENGTH))
with torch.inference_mode():
    answers = load(folder / "weights.pt").float()(tokens)
(folder / "answers.json").write_text(json.dumps({"tokens": tokens.tolist(), "answers": answers.tolist()}))
print(torch.__version__, torch.cuda.get_device_name() if torch.cuda.is_available() else "without a GPU")
