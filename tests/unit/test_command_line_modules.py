"""`text-classifier`: its imports, its error for a missing package, and the help of its commands."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.__main__ import OWN_PACKAGES, WITHOUT_OPTIONS
from cli.app import MODULES, app

COMMANDS = [[name] for name in MODULES if name != "bench"]
COMMANDS += [
    ["models", "explain"],
    *(["bench", name] for name in ("servers", "limits", "runtimes", "explanations")),
]

MODULES_OF = """
import json, sys
sys.argv = ["text-classifier", {command!r}]
{setup}
from cli.__main__ import main
main()
print(json.dumps(sorted(sys.modules)))
"""
"""Runs a command and prints the modules that it imported."""

WITHOUT_SERVER = """
import serving.process.start
serving.process.start.serve = lambda: None
"""

BLOCKED = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {packages!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""
"""Makes packages appear not to be installed."""


def python(code: str, project: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=False
    )


def imported(command: str, project: Path, setup: str = "") -> set[str]:
    done = python(MODULES_OF.format(command=command, setup=setup), project)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def run_without(packages: set[str], *words: str, project: Path) -> subprocess.CompletedProcess[str]:
    """Run a command line where these packages are not installed."""
    code = (
        BLOCKED.format(packages=packages)
        + f"sys.argv = {['text-classifier', *words]!r}\nfrom cli.__main__ import main\nmain()\n"
    )
    return python(code, project)


def test_serve_imports_only_what_starting_the_server_imports(project: Path) -> None:
    start = python("import json, sys, serving.process.start\nprint(json.dumps(sorted(sys.modules)))", project)
    extra = imported("serve", project, WITHOUT_SERVER) - set(json.loads(start.stdout))
    assert extra == {"cli", "cli.__main__", "cli.plain"}


def test_serve_and_key_import_neither_typer_nor_training_libraries(project: Path) -> None:
    heavy = {"typer", "rich", "sklearn", "tensorflow", "lightkube", "training_import", "k8s", "image"}
    assert not imported("serve", project, WITHOUT_SERVER) & heavy
    assert not imported("key", project) & heavy


def test_ctrl_c_during_the_start_stops_the_server_without_a_stack_trace(project: Path) -> None:
    interrupted = """
import os, signal, sys, time, types, weakref
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background jobs ignore it
def serve():
    class Thing: pass
    thing = Thing()
    callback = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGINT))
    del thing  # an exception in such a callback would be printed and lost
    time.sleep(10)
start = sys.modules["serving.process.start"] = types.ModuleType("serving.process.start")
start.serve = serve
"""
    done = python(MODULES_OF.format(command="serve", setup=interrupted), project)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("command", WITHOUT_OPTIONS)
def test_commands_without_options_need_only_the_serving_layer(project: Path, command: str) -> None:
    setup = BLOCKED.format(packages={"typer"}) + WITHOUT_SERVER
    assert "cli.plain" in imported(command, project, setup)


@pytest.mark.parametrize("command", [name for name in MODULES if name not in WITHOUT_OPTIONS])
def test_without_typer_a_command_names_the_make_target_that_installs_it(project: Path, command: str) -> None:
    done = run_without({"typer"}, command, project=project)
    training = {"predict", "train", "evaluate", "drift", "import", "bench"}
    target = "train-deps" if command in training else "deploy-deps"
    assert done.returncode == 1
    assert done.stderr == (
        f"error: `text-classifier {command}` needs the package typer, which is not installed; "
        f"`make {target}` installs it\n"
    )


def test_without_typer_the_help_names_the_make_target_that_installs_it(project: Path) -> None:
    done = run_without({"typer"}, "--help", project=project)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: `text-classifier` needs the package typer")


@pytest.mark.parametrize(
    ("package", "words", "target"),
    [
        ("sklearn", ["train", "--data", "tests/data/imdb_test.csv", "--name", "a"], "train-deps"),
        ("lightkube", ["manifests", "--check"], "deploy-deps"),
        ("bentoml", ["serve"], "serve"),
    ],
)
def test_a_missing_library_of_a_command_gives_a_one_sentence_error(
    project: Path, package: str, words: list[str], target: str
) -> None:
    done = run_without({package}, *words, project=project)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"error: `text-classifier {words[0]}` needs the package {package}, which is not installed; "
        f"`make {target}` installs it"
    )


def test_a_missing_module_of_this_project_gives_a_stack_trace(project: Path) -> None:
    done = run_without({"k8s"}, "manifests", project=project)
    assert "Traceback" in done.stderr


def test_every_package_of_the_project_is_recognized_as_its_own(project: Path) -> None:
    packages = {path.parent.name for path in project.glob("*/__init__.py")}
    assert set(OWN_PACKAGES) == packages


def test_a_command_does_not_import_the_modules_of_other_topics(project: Path) -> None:
    code = (
        "import sys\nsys.argv = ['text-classifier', 'models', '--help']\n"
        "from cli.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit:\n"
        "    print(sorted(name for name in sys.modules if name.startswith('cli.')))\n"
    )
    assert python(code, project).stdout.splitlines()[-1] == str(
        ["cli.__main__", "cli.app", "cli.console", "cli.models", "cli.plain"]
    )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_help_of_every_command_shows_an_example(command: list[str]) -> None:
    shown = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    (example,) = [line for line in shown.stdout.splitlines() if "Example: " in line]
    assert f"text-classifier {' '.join(command)}" in example


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_option_of_every_command_is_explained(command: list[str]) -> None:
    shown = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"})
    options = [line.strip("│* ") for line in shown.stdout.splitlines() if line.strip("│* ").startswith("--")]
    assert options
    unexplained = [line for line in options if not line.rstrip(" │").endswith((".", "]"))]
    assert unexplained == []


def test_the_help_lists_every_command() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"})
    listed = [
        line.split()[1] for line in shown.stdout.splitlines() if line.startswith("│ ") and line[2] != " "
    ]
    assert [name for name in listed if not name.startswith("-")] == list(MODULES)


def test_a_misspelt_command_gets_a_suggestion() -> None:
    shown = CliRunner().invoke(app, ["predct"])
    assert shown.exit_code == 2
    assert "No such command 'predct'. Did you mean 'predict'?" in shown.output


def test_the_shell_completes_commands(project: Path) -> None:
    variables = {
        "_TEXT_CLASSIFIER_COMPLETE": "complete_bash",
        "COMP_WORDS": "text-classifier pr",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "cli"],
        cwd=project,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["predict", "promote"]


def test_completion_can_be_installed() -> None:
    shown = CliRunner().invoke(app, ["--help"])
    assert "--install-completion" in shown.stdout
