"""The GitHub workflow signs the image that it built, and publishing needs an approval."""

from pathlib import Path
from typing import Any

import pytest
import yaml

WORKFLOW = Path(__file__).parents[2] / ".github" / "workflows" / "ci.yml"


@pytest.fixture
def jobs() -> Any:
    return yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]


def _commands(job: Any) -> list[str]:
    return [step.get("run", "") for step in job["steps"]]


def test_no_step_gives_the_docker_socket_to_a_container(jobs: Any) -> None:
    commands = [command for job in jobs.values() for command in _commands(job)]
    assert any("docker run" in command for command in commands)
    assert not any("docker.sock" in command for command in commands)


def test_the_image_is_saved_before_any_scan_and_the_saved_file_is_scanned(jobs: Any) -> None:
    commands = _commands(jobs["image"])
    saved = next(place for place, command in enumerate(commands) if "docker save" in command)
    scanned = next(place for place, command in enumerate(commands) if "trivy" in command)
    assert saved == next(place for place, command in enumerate(commands) if "make image" in command) + 1
    assert saved < scanned
    assert "image --input /image/image.tar" in commands[scanned]
    assert ":/image:ro" in commands[scanned]


def test_publishing_waits_for_the_environment_release(jobs: Any) -> None:
    assert jobs["publish"]["environment"] == "release"
    assert [name for name, job in jobs.items() if "packages" in job["permissions"]] == ["publish"]
