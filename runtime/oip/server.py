"""What the server says of itself."""

import functools
import importlib.metadata

NAME = "cortex"
EXTENSIONS = (
    "binary_tensor_data",
    "parameters",
    "statistics",
    "model_configuration",
    "model_repository",
    "model_repository(unload_dependents)",
    "generate",
    "system_shared_memory",
)


@functools.cache
def version() -> str:
    try:
        return importlib.metadata.version("cortex-platform")
    except importlib.metadata.PackageNotFoundError:
        return "0"
