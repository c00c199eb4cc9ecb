"""How many processors this process may use."""

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def processors(cgroup: Path = CGROUP) -> int:
    """Return how many processors this process may use, at least 1.

    On Linux a container sees all processors of its machine. Its limit is the quota of its control group, of
    which a part of a processor counts as one.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(min(allowed, math.ceil(_quota(cgroup))), 1)


def _quota(cgroup: Path) -> float:
    """Return the limit of the control group in processors; infinite if there is none."""
    try:
        quota, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
    except OSError:
        try:  # version 1
            quota, period = (
                (cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text(encoding="ascii").strip()
                for name in ("quota", "period")
            )
        except OSError:
            return float(os.cpu_count() or 1)
    return int(quota) / int(period) if quota not in {"max", "-1"} else float(os.cpu_count() or 1)
