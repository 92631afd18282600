"""What the front's lines of log and the workers' have in common."""

from __future__ import annotations

import time

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def timestamp(now: float) -> str:
    whole = int(now)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{int((now - whole) * 1e6):06d}Z"
