"""Runs programs that are installed as Python packages."""

import subprocess
import sys


def run_module(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m module`; returns its exit code and what it printed."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False
    )
