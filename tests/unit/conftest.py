"""Hypothesis settings for all unit tests, and the cluster of those that need `kubectl`."""

from pathlib import Path

import pytest
from fake_kubectl import Cluster
from hypothesis import settings

# There is no deadline, because tests do not check time. The examples are always the same, so that only a
# change of the code can make a test fail.
settings.register_profile("unit", deadline=None, max_examples=60, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=2000)
settings.load_profile("unit")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A fake `kubectl`, which is the only program on the PATH."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    monkeypatch.setenv("FAKE", str(folder))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.chdir(tmp_path)
    return Cluster(folder)
