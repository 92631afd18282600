"""Trains the network on Fisher's iris data (shipped with scikit-learn) and writes model.pt."""

import pathlib

import torch
from network import Network
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split

torch.manual_seed(0)
data = load_iris()
split = train_test_split(data.data, data.target, random_state=0, stratify=data.target)
train_x, test_x = (torch.tensor(part, dtype=torch.float32) for part in split[:2])
train_y, test_y = (torch.tensor(part) for part in split[2:])
network = Network()
optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
for _ in range(200):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(network(train_x), train_y).backward()
    optimizer.step()
network.eval()
right = (network(test_x).argmax(1) == test_y).float().mean().item()
torch.save(network.state_dict(), pathlib.Path(__file__).with_name("model.pt"))
print(f"accuracy on {len(test_y)} held-out flowers: {right:.3f}; wrote model.pt")
