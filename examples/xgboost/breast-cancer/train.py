"""Trains on the Wisconsin breast cancer data (shipped with scikit-learn); writes model.json and labelled samples."""

import json
import pathlib

import xgboost
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

folder = pathlib.Path(__file__).parent
data = load_breast_cancer()
malignant = 1 - data.target
train_x, test_x, train_y, test_y = train_test_split(data.data, malignant, random_state=0, stratify=malignant)
parameters = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.2, "seed": 0}
model = xgboost.train(parameters, xgboost.DMatrix(train_x, label=train_y), num_boost_round=60)
model.save_model(folder / "model.json")
right = (model.predict(xgboost.DMatrix(test_x)) >= 0.5) == test_y
names = ("benign", "malignant")
labelled = [
    {"payload": {"features": list(map(float, row))}, "label": names[label]}
    for row, label in zip(test_x, test_y, strict=True)
]
(folder / "labelled.json").write_text(json.dumps(labelled))
(folder / "sample.json").write_text(json.dumps(labelled[0]["payload"]) + "\n")
print(f"accuracy on {len(test_y)} held-out cases: {right.mean():.3f}; wrote model.json")
