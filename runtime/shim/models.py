"""The clients an ancestor's constructor may ask for: `python_client` over files of the bundle, and `metrics_client`."""

from __future__ import annotations

import logging
import os
import threading
from typing import Any


class ModelClient:
    """`get_model(name)` calls the predictor's `load_model(path)` on first use and keeps the result.

    Models lie in the bundle: `models.path` (one, without a name) or `models.paths` (a list of name and path).
    """

    def __init__(self, project_dir: str, models: dict[str, Any]) -> None:
        self._project_dir = project_dir
        self._models = models
        self._loaded: dict[str, Any] = {}
        self._lock = threading.RLock()
        self._predictor: Any | None = None

    def attach(self, predictor: Any) -> None:
        self._predictor = predictor

    def get_model(self, model_name: str | None = None, model_version: str = "latest") -> Any:
        name, path = self._find(model_name)
        with self._lock:
            if name not in self._loaded:
                if self._predictor is None:
                    raise RuntimeError("get_model() works once the constructor has returned")
                self._loaded[name] = self._predictor.load_model(path)
            return self._loaded[name]

    def _find(self, name: str | None) -> tuple[str, str]:
        """Only here, so that a predictor that never asks is not kept from starting by what cannot be loaded yet."""
        paths = _declared(self._models)
        if name is None and len(paths) == 1:
            name = next(iter(paths))
        if name is None or name not in paths:
            known = ", ".join(sorted(paths)) or "none"
            raise KeyError(f"no model {name!r}; declared in `models`: {known}")
        return name, _inside(self._project_dir, paths[name])


def _declared(models: dict[str, Any]) -> dict[str, str]:
    if models.get("dir"):
        raise ValueError("`models.dir` is not in effect yet; list the models under `models.paths`")
    single = models.get("path") or models.get("model_path")
    if single:
        return {"default": str(single)}
    listed = models.get("paths") or ()
    return {str(entry["name"]): str(entry.get("path") or entry.get("model_path")) for entry in listed}


def _inside(project_dir: str, path: str) -> str:
    root = os.path.realpath(project_dir)
    full = os.path.realpath(os.path.join(root, path))
    if "://" in path or os.path.commonpath([root, full]) != root:
        raise ValueError(f"`models` path {path!r}: only files of the bundle are in effect yet")
    return full


class MetricsClient:
    """Takes what the ancestor's statsd client took. Custom metrics are not in effect yet; the log says so once."""

    def __init__(self) -> None:
        logging.getLogger("cortex").warning("metrics_client is not in effect yet: its values are discarded")

    def gauge(self, metric: str, value: float, tags: dict[str, str] | None = None) -> None:
        """Discards the value."""

    def increment(self, metric: str, value: float = 1, tags: dict[str, str] | None = None) -> None:
        """Discards the value."""

    def histogram(self, metric: str, value: float, tags: dict[str, str] | None = None) -> None:
        """Discards the value."""
