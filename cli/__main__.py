"""The entry point of `text-classifier`: decides which code a command line needs, and loads no other."""

import sys
from importlib import import_module

from cli.plain import INTERRUPTED, PROGRAM

WITHOUT_OPTIONS = ("serve", "key")
"""Commands that work with the packages of the serving layer alone, which has no typer."""

MAKE_TARGETS = {
    "serve": "serve",
    "key": "serve",
    "train": "train-deps",
    "predict": "train-deps",
    "evaluate": "train-deps",
    "drift": "train-deps",
    "import": "train-deps",
    "bench": "train-deps",
}
"""The make target that installs the packages of a command; `deploy-deps` installs those of any other."""

OWN_PACKAGES = (
    "benchmarks",
    "classifier",
    "cli",
    "datafiles",
    "exporter",
    "image",
    "k8s",
    "model_store",
    "monitoring",
    "serving",
    "training_import",
    "ui",
)
"""A missing module of these is a fault of this project, not a package to install."""


def main() -> None:
    """Run a command line. The exit code is 0, 1 for what this project refuses, or 2 for wrong usage.

    `drift` also ends with 3, if texts differ.
    """
    words = sys.argv[1:]
    try:
        _run(words)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] in OWN_PACKAGES:
            raise
        sys.exit(f"error: {_missing_package(error, words)}")


def _run(words: list[str]) -> None:
    if len(words) == 1 and words[0] in WITHOUT_OPTIONS:
        getattr(import_module("cli.plain"), words[0])()
    else:
        import_module("cli.app").run()


def _missing_package(error: ModuleNotFoundError, words: list[str]) -> str:
    command = words[0] if words and not words[0].startswith("-") else ""
    target = MAKE_TARGETS.get(command, "deploy-deps")
    return (
        f"`{f'{PROGRAM} {command}'.strip()}` needs the package {error.name}, which is not installed; "
        f"`make {target}` installs it"
    )


if __name__ == "__main__":
    main()
