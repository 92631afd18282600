"""What the server says of itself."""

import functools

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
    import importlib.metadata  # few callers ask, and every start would wait for it

    try:
        return importlib.metadata.version("cortex-platform")
    except importlib.metadata.PackageNotFoundError:
        return "0"
