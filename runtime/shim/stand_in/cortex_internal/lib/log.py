"""The one module of the ancestor that its documentation has predictors import: `logger`, for structured lines.

This folder is the last of the import path, so whoever has a package of that name keeps it.
"""

import logging

logger = logging.getLogger("cortex")
