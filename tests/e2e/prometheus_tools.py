"""The real programs of Prometheus: whether they are installed, and what they say."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def program(name: str, package: str) -> str:
    """The path of a program; without it, the test is skipped, or fails where every test must run."""
    path = shutil.which(name)
    if path is None:
        missing = f"{name} is missing; on Debian, `apt-get install {package}` installs it"
        if "REQUIRE_FULL_DATA" in os.environ:
            pytest.fail(missing)
        pytest.skip(missing)
    return path


def promtool(*arguments: str | Path, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run promtool; its output is a part of the message if it fails."""
    return run([program("promtool", "prometheus"), *map(str, arguments)], given)


def run(command: list[str], given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(command, input=given, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return done
