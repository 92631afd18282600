"""What the ancestor's images carried for every predictor, and its projects import without listing it.

A package is added when the predictor imports it and no file lists it, or another that brings the same module. Versions
are left to the resolver: those of the images do not exist for the Pythons of today.
"""

from collections.abc import Collection, Iterable, Mapping

# Of a module: the package, and others that bring the module as well, or under whose names conda has it; normalized.
_MODULES: Mapping[str, tuple[str, ...]] = {
    "PIL": ("pillow", "pillow-simd"),
    "boto3": ("boto3",),
    "botocore": ("boto3", "botocore"),
    "cloudpickle": ("cloudpickle",),
    # The builds with windows need libraries that servers lack.
    "cv2": (
        *("opencv-python-headless", "opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless"),
        *("opencv", "py-opencv"),
    ),
    "dill": ("dill",),
    "fastapi": ("fastapi",),
    "google.protobuf": ("protobuf",),
    "grpc": ("grpcio",),
    "jinja2": ("jinja2",),
    "joblib": ("joblib",),
    "msgpack": ("msgpack", "msgpack-python"),
    "nltk": ("nltk",),
    "numpy": ("numpy",),
    "pandas": ("pandas",),
    "pydantic": ("pydantic",),
    "requests": ("requests",),
    "scipy": ("scipy",),
    "six": ("six",),
    "skimage": ("scikit-image",),
    "sklearn": ("scikit-learn", "scikit-learn-intelex"),
    "starlette": ("starlette", "fastapi"),
    "statsmodels": ("statsmodels",),
    "sympy": ("sympy",),
    "tensorflow_hub": ("tensorflow-hub",),
    "torch": ("torch", "pytorch", "pytorch-cpu", "pytorch-gpu", "torch-neuron", "torch-neuronx"),
    "torchvision": ("torchvision",),
    "xgboost": ("xgboost", "xgboost-cpu", "py-xgboost", "py-xgboost-cpu", "py-xgboost-gpu"),
    "yaml": ("pyyaml",),
}


def missing(modules: Iterable[str], listed: Collection[str]) -> tuple[str, ...]:
    """Packages to add to those `listed`, whose names are normalized."""
    needed = [_MODULES[module] for module in sorted(modules) if module in _MODULES]
    return tuple(dict.fromkeys(packages[0] for packages in needed if not any(name in listed for name in packages)))
