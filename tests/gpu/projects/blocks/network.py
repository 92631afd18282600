"""A small transformer: blocks of attention and a multilayer perceptron, from a line of words to sixteen numbers."""

import torch
from torch import nn

WORDS, WIDTH, DEPTH, HEADS, ANSWERS, LENGTH = 1000, 512, 8, 8, 16, 32


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.mixed, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.wide = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x):
        rows, length, _ = x.shape
        parts = self.mixed(self.before(x)).reshape(rows, length, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        seen = nn.functional.scaled_dot_product_attention(*parts).transpose(1, 2).reshape(rows, length, WIDTH)
        x = x + self.out(seen)
        return x + self.wide(self.between(x))


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(DEPTH)))
        self.answers = nn.Linear(WIDTH, ANSWERS)

    def forward(self, tokens):
        return self.answers(self.blocks(self.words(tokens))[:, 0])


def load(path):
    """On the CPU, in bfloat16; the file is mapped."""
    network = Network().to(torch.bfloat16).eval()
    network.load_state_dict(torch.load(path, mmap=True))
    return network
