"""A library that uses a GPU while it is imported."""

import torch

kept = torch.zeros(1, device="cuda")
