"""The Makefile passes its variables to the command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SHOW = f"""#!{sys.executable}
import json, os, sys
print(json.dumps([sys.argv[1:], os.environ.get("CLASSIFIER__API__PORT")]))
"""
"""A program that prints its arguments and the port in its environment."""


@pytest.fixture
def command(tmp_path: Path) -> Path:
    path = tmp_path / "text-classifier"
    path.write_text(SHOW)
    path.chmod(0o755)
    return path


def make(project: Path, command: Path, *words: str, **variables: str) -> tuple[list[str], str | None]:
    """Run a target with this program as the command; return the command's arguments and the port."""
    installed = [f"--assume-old=.venv/{stamp}" for stamp in (".serve", ".deploy", ".command")]
    done = subprocess.run(
        ["make", "--silent", *installed, *words, f"COMMAND={command}"],
        cwd=project,
        env={"PATH": os.environ["PATH"]} | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    arguments, port = json.loads(done.stdout)
    return arguments, port


@pytest.mark.parametrize(
    ("words", "variables", "port"),
    [
        ([], {}, None),
        (["PORT=8126"], {}, "8126"),
        ([], {"PORT": "8126"}, "8126"),
        ([], {"CLASSIFIER__API__PORT": "8127"}, "8127"),
    ],
    ids=["none", "after make", "before make", "the setting"],
)
def test_a_port_may_be_given_before_or_after_make(
    project: Path, command: Path, words: list[str], variables: dict[str, str], port: str | None
) -> None:
    assert make(project, command, "serve", *words, **variables) == (["serve"], port)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["deploy"], ["deploy", "--env", "local"]),
        (["deploy", "IMAGE="], ["deploy", "--env", "local", "--image", ""]),
        (
            ["deploy", "ENV=staging", "IMAGE=a:1", "BENTO=b:2", "ENVIRONMENTS=c.yaml"],
            ["deploy", "--env", "staging", "--image", "a:1", "--bento", "b:2", "--environments", "c.yaml"],
        ),
        (["rollback", "ENV=staging"], ["rollback", "--env", "staging"]),
        (["rollout-status"], ["rollout-status", "--env", "local"]),
        (
            ["canary", "IMAGE=a:1", "VERSION=2"],
            ["canary", "--env", "local", "--image", "a:1", "--version", "2", "--weight", "10"],
        ),
        (["promote", "IMAGE=a:1"], ["promote", "--env", "local", "--image", "a:1"]),
        (["abort", "IMAGE=a:1"], ["abort", "--env", "local", "--image", "a:1"]),
    ],
    ids=" ".join,
)
def test_every_given_variable_is_passed_on(
    project: Path, command: Path, words: list[str], expected: list[str]
) -> None:
    assert make(project, command, *words)[0] == expected
