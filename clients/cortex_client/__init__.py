"""Cortex for Python programs: `from cortex_client import Client`.

Names are loaded when first used, so that a command that needs no network does not pay for it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cortex_client.client import Client as Client
    from cortex_client.deployment import Deployment as Deployment
    from cortex_client.exceptions import CortexError as CortexError
    from cortex_client.prediction import Prediction as Prediction
    from cortex_client.version import VERSION as __version__

__all__ = ["Client", "CortexError", "Deployment", "Prediction", "__version__"]

_HOMES = {
    "Client": ("client", "Client"),
    "CortexError": ("exceptions", "CortexError"),
    "Deployment": ("deployment", "Deployment"),
    "Prediction": ("prediction", "Prediction"),
    "__version__": ("version", "VERSION"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    module, attribute = _HOMES[name]
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
