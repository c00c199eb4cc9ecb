"""The command that renders Prometheus rules, the dashboard of Grafana, and their configurations."""

from pathlib import Path
from typing import Annotated

import typer

from cli.console import err, new_app

app = new_app()


@app.command(epilog="Example: `text-classifier monitoring --check`")
def monitoring(
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the files. Default: monitoring/rendered.", show_default=False),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit with 1 if a file is stale.")
    ] = False,
    runbooks: Annotated[
        str | None,
        typer.Option(
            help="URL at which people read docs/operations.md; the alerts have it as `runbook_url`. "
            "Default: they have the path as `runbook`.",
            metavar="URL",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Render the rules, the dashboard, and the configurations of Prometheus, Alertmanager and Grafana.

    The table of metrics in docs/operations.md is rendered as well.
    """
    from monitoring.rendering import RENDERED, write
    from monitoring.rendering import check as check_stale
    from monitoring.rules import RUNBOOK, published_runbook

    folder = RENDERED if out is None else out
    runbook = RUNBOOK if runbooks is None else published_runbook(runbooks)
    if check:
        check_stale(folder, runbook)
        return
    for path in write(folder, runbook):
        err.print(path, highlight=False, soft_wrap=True)
