"""What a user reads of an error: the traceback without our own frames."""

from __future__ import annotations

import os
import traceback

_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep


def of_user(error: BaseException) -> str:
    """From the first frame that is the user's."""
    trace = error.__traceback__
    while trace is not None and _is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip()


def _is_ours(filename: str) -> bool:
    return filename.startswith((_OURS, "<frozen importlib")) or os.sep + "importlib" + os.sep in filename
