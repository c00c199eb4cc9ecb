"""Checks of options that several commands share."""

import typer


def given(option: typer.CallbackParam, value: str | None) -> str | None:
    """Refuse an empty value, which make passes if its variable is empty or missing."""
    if value == "":
        raise typer.BadParameter(f"{str(option.name).upper()} is not given; k8s/README.md explains it")
    return value


def require(name: str, value: str | None) -> None:
    """Refuse the command if an option that it needs is missing."""
    if value is None:
        raise typer.BadParameter(
            f"{name} is not given; --{name.lower()} names it, and k8s/README.md explains it"
        )
