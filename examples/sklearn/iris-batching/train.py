"""Trains the classifier on Fisher's iris data (shipped with scikit-learn) and writes model.joblib and labelled.json."""

import json
import pathlib

import joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

FEATURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
folder = pathlib.Path(__file__).parent
data = load_iris()
train_x, test_x, train_y, test_y = train_test_split(data.data, data.target, random_state=0, stratify=data.target)
model = LogisticRegression(max_iter=500).fit(train_x, train_y)
joblib.dump(model, folder / "model.joblib")
labelled = [
    {"payload": dict(zip(FEATURES, map(float, row), strict=True)), "label": str(data.target_names[label])}
    for row, label in zip(test_x, test_y, strict=True)
]
(folder / "labelled.json").write_text(json.dumps(labelled))
print(f"accuracy on {len(test_y)} held-out flowers: {model.score(test_x, test_y):.3f}; wrote model.joblib")
