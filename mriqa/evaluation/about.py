"""What every experiment says of when and where it ran."""

import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from typing import Any


def about_run(threads: int, **more: str) -> dict[str, Any]:
    """`date` (UTC) and `machine`: cpu, cores, threads, what `more` says, versions."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "threads": threads,
            **more,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("mriqa", "torch", "numpy")},
        },
    }
