"""Prints the inputs and outputs of a model as a model configuration. Arguments: backend, version folder, config.

Runs in the API's own environment, once per model that has no complete config.pbtxt.
"""

import json
import os
import sys

_MOST_BATCH = 64
_ONNX = {
    "float": "FP32", "double": "FP64", "float16": "FP16", "bfloat16": "BF16", "int8": "INT8", "int16": "INT16",
    "int32": "INT32", "int64": "INT64", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64",
    "bool": "BOOL", "string": "STRING",
}  # fmt: skip


def main():
    backend, folder, config = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    describe = {
        "onnxruntime": _onnx, "tensorflow": _tensorflow, "python": _python, "sklearn": _sklearn, "fil": _fil,
    }.get(backend)  # fmt: skip
    if describe is None:
        sys.exit("a model of backend {} does not tell; name its inputs and outputs in config.pbtxt".format(backend))
    print(json.dumps(describe(folder, config)))


def _file(folder, config, default):
    return os.path.join(folder, config.get("default_model_filename") or default)


def _config(inputs, outputs, config):
    """`inputs` and `outputs`: (name, type, shape with None where a size varies). A first size that varies everywhere is
    the batch, unless the user said that the model takes none."""
    shapes = [shape for _, _, shape in inputs + outputs]
    batched = all(shape and shape[0] is None for shape in shapes) and config.get("max_batch_size", 1) != 0
    cut = 1 if batched else 0
    return {
        "max_batch_size": _MOST_BATCH if batched else 0,
        "input": [_tensor(name, kind, shape[cut:]) for name, kind, shape in inputs],
        "output": [_tensor(name, kind, shape[cut:]) for name, kind, shape in outputs],
    }


def _tensor(name, kind, shape):
    told = {"name": name, "data_type": "TYPE_" + kind, "dims": [-1 if size is None else int(size) for size in shape]}
    if not shape:  # one number per item: Triton wants a dimension, and takes it away again
        told.update(dims=[1], reshape={"shape": []})
    return told


def _onnx(folder, config):
    import onnxruntime

    session = onnxruntime.InferenceSession(_file(folder, config, "model.onnx"), providers=["CPUExecutionProvider"])

    def told(nodes):
        return [
            (node.name, _ONNX[node.type[7:-1]], [size if isinstance(size, int) else None for size in node.shape])
            for node in nodes
            if node.type.startswith("tensor(")
        ]

    return _config(told(session.get_inputs()), told(session.get_outputs()), config)


def _tensorflow(folder, config):
    import tensorflow as tf

    model = tf.saved_model.load(_file(folder, config, "model.savedmodel"))
    wanted = config.get("parameters", {}).get("signature_key", {}).get("string_value", "")
    found = model.signatures
    if not found or (wanted and wanted not in found):
        sys.exit("signature_key: no signature {!r}; there are: {}".format(wanted, ", ".join(found) or "none"))
    signature = found[next(key for key in (wanted, "predict", "serving_default", *found) if key in found)]

    def told(specs):
        return [(name, _tf_type(spec.dtype), list(spec.shape)) for name, spec in sorted(specs.items())]

    return _config(told(signature.structured_input_signature[1]), told(signature.structured_outputs), config)


def _tf_type(dtype):
    names = {"float32": "FP32", "float64": "FP64", "float16": "FP16", "bfloat16": "BF16"}
    return names.get(dtype.name, dtype.name.upper())


def _python(folder, config):
    sys.path.insert(0, os.environ["CORTEX_MODEL_HOST"])
    import triton_python_backend_utils as pb_utils

    sys.path.insert(0, folder)
    import importlib.util

    spec = importlib.util.spec_from_file_location("model", _file(folder, config, "model.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    complete = getattr(module.TritonPythonModel, "auto_complete_config", None)
    if complete is None:
        sys.exit("the model has no auto_complete_config(); name its inputs and outputs in config.pbtxt")
    made = complete(pb_utils.ModelConfig(config))
    return made.as_dict() if made is not None else {}


def _sklearn(folder, config):
    import joblib

    names = ("model.joblib", "model.pkl")
    name = next((name for name in names if os.path.exists(os.path.join(folder, name))), names[0])
    estimator = joblib.load(_file(folder, config, name))
    inputs = [("input__0", "FP32", [None, int(estimator.n_features_in_)])]
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        return _config(inputs, [("predict", "FP64", [None])], config)
    kind = "INT64" if classes.dtype.kind in "iub" else "STRING"
    outputs = [("predict", kind, [None])]
    if hasattr(estimator, "predict_proba"):
        outputs.append(("predict_proba", "FP64", [None, len(classes)]))
    return _config(inputs, outputs, config)


def _fil(folder, config):
    if os.path.exists(os.path.join(folder, "model.txt")):
        import lightgbm

        booster = lightgbm.Booster(model_file=os.path.join(folder, "model.txt"))
        features, width = booster.num_feature(), booster.num_model_per_iteration()
    else:
        import xgboost

        name = next(name for name in ("model.json", "model.ubj") if os.path.exists(os.path.join(folder, name)))
        booster = xgboost.Booster(model_file=os.path.join(folder, name))
        learner = json.loads(booster.save_config())["learner"]["learner_model_param"]
        features, width = booster.num_features(), max(1, int(learner.get("num_class", 0)))
    return _config([("input__0", "FP32", [None, features])], [("output__0", "FP32", [None, width])], config)


if __name__ == "__main__":
    main()
