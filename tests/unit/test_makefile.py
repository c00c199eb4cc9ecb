"""The Makefile passes its variables to the command."""

import json
import os
import re
import shutil
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
        (["push", "TARGET=b:1"], ["push", "b:1", "--engine", "podman"]),
        (["push", "TARGET=b:1", "IMAGE=a:1"], ["push", "b:1", "--image", "a:1", "--engine", "podman"]),
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


def refused(project: Path, tmp_path: Path, *words: str) -> str:
    """The error of a target in a checkout in which nothing is installed, and in which nothing can be."""
    shutil.copy(project / "Makefile", tmp_path)
    shutil.copy(project / "pyproject.toml", tmp_path)
    shutil.copytree(project / "requirements", tmp_path / "requirements")
    done = subprocess.run(
        ["make", *words, "PYTHON=false"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert not (tmp_path / ".venv").exists()
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        (["push"], "TARGET"),
        (["push", "TARGET="], "TARGET"),
        (["canary", "VERSION=2"], "IMAGE"),
        (["canary", "IMAGE=a:1"], "VERSION"),
        (["promote"], "IMAGE"),
        (["abort"], "IMAGE"),
    ],
    ids=" ".join,
)
def test_a_missing_variable_is_refused_before_anything_is_installed(
    project: Path, tmp_path: Path, words: list[str], missing: str
) -> None:
    said = refused(project, tmp_path, *words)
    assert f"{missing} is not given; `make {words[0]}` needs it" in said


@pytest.mark.parametrize("word", ["port=8123", "Port=8123", "PROT=8123"])
def test_a_variable_that_make_would_ignore_is_refused(project: Path, tmp_path: Path, word: str) -> None:
    said = refused(project, tmp_path, "serve", word)
    assert f"{word.partition('=')[0]} is not a variable of this Makefile; they are " in said
    assert " PORT " in said


def test_a_setting_of_the_service_may_be_given_as_a_variable_of_make(project: Path, command: Path) -> None:
    assert make(project, command, "serve", "CLASSIFIER__API__PORT=8126") == (["serve"], "8126")


def test_the_list_of_variables_has_every_variable_that_the_readme_and_the_help_name(project: Path) -> None:
    makefile = (project / "Makefile").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^VARIABLES := ((?:.*\\\n)*.*)$", makefile, re.MULTILINE)
    files = [makefile, *((project / name).read_text() for name in ("README.md", "k8s/README.md"))]
    commands = [line for text in files for line in re.findall(r"make [a-z-]+ [^`\n]*", text)]
    named = {name for line in commands for name in re.findall(r"\b([A-Z]+)=", line)}
    assert {"PORT", "TARGET", "IMAGE"} <= named <= set(listed.replace("\\", "").split())
