"""What `python -m training_import` says where the packages for training are not installed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from training_import.packages import PACKAGES, PackagesMissing, check_training_packages

COMMAND = (
    "import runpy, sys; sys.modules.update(dict.fromkeys(sys.argv.pop(1).split(','))); "
    "runpy.run_module('training_import', run_name='__main__', alter_sys=True)"
)
"""The command without the modules that its first argument names."""


def test_the_packages_are_those_of_the_requirements(project: Path) -> None:
    lines = (project / "requirements" / "train.in").read_text(encoding="utf-8").splitlines()
    assert set(PACKAGES) == {line for line in lines if re.match(r"[a-z]", line)}


def test_with_all_packages_nothing_is_refused() -> None:
    check_training_packages()


def test_each_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(PackagesMissing, match=r"need scikit-learn, tensorflow-cpu, which .*make train-deps"):
        check_training_packages()


@pytest.mark.parametrize(
    ("without", "named"), [("sklearn,typer", "typer"), ("sklearn,skops", "scikit-learn, skops")]
)
def test_the_command_ends_in_one_sentence_without_them(project: Path, without: str, named: str) -> None:
    data = project / "tests" / "data" / "imdb_train.csv"
    command = [sys.executable, "-c", COMMAND, without, "train", "--data", data, "--name", "mine"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert line.startswith(f"error: training, evaluation and import need {named}, which ")
    assert "`make train-deps`" in line
    assert "Traceback" not in done.stderr
