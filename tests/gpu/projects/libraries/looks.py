"""A library that only asks for a GPU while it is imported, after which a fork cannot use one either."""

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
