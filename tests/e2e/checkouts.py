"""Copies of the checkout, and artifacts in a BentoML store of their own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path


def copy_checkout(project: Path, copy: Path) -> Path:
    """Copy the files of a checkout and commit them; returns the folder of the copy."""
    listed = subprocess.run(["git", "ls-files"], cwd=project, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(project / name, copy / name)
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "All"]):
        author = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
        subprocess.run(["git", *author, *command], cwd=copy, check=True)
    return copy


def save(artifact: Path, home: Path, project: Path) -> str:
    """Save an artifact in the store in `home`; returns its tag.

    BentoML reads BENTOML_HOME once, so this needs a process.
    """
    code = "import sys, pathlib, model_store; print(model_store.save(pathlib.Path(sys.argv[1])))"
    done = subprocess.run(
        [sys.executable, "-c", code, artifact],
        cwd=project,
        env=os.environ | {"BENTOML_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()
