"""The command that compares the texts of a file with the held-out texts of a model."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from cli.console import err, harmless, new_app, out
from cli.reading import print_skipped
from cli.text_files import FILES, Encoding, TextColumnName

if TYPE_CHECKING:
    from classifier.drift.report import DriftReport

app = new_app()

DRIFTED = 3
"""Exit code if at least one feature differs."""


@app.command(epilog="Example: `text-classifier drift --data last-week.csv --plots plots/`")
def drift(
    data: Annotated[list[Path], typer.Option(help=f"Texts, {FILES}", metavar="FILE", show_default=False)],
    model: Annotated[
        str | None,
        typer.Option(help="Tag in the store. Default: the model that the settings name.", show_default=False),
    ] = None,
    text_column: TextColumnName = "text",
    encoding: Encoding = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    plots: Annotated[
        Path | None, typer.Option(help="Folder for one SVG plot per feature.", show_default=False)
    ] = None,
) -> None:
    """Compare the texts of a file with the texts that were held out of the training of a model.

    Rows without a text are skipped and counted. The exit code is 0 if no feature
    differs, and 3 if at least one does. `drift.psi_alarm` in the settings says how large a difference counts.
    """
    import model_store
    from classifier.answers import drift_answer
    from classifier.pipeline import load_classifier
    from classifier.settings import load_settings
    from training_import.dataset import iterate_texts
    from training_import.evaluation.drift import measure_drift, write_drift_plots
    from training_import.rows import expand, joint_name

    settings = load_settings()
    tag = model or settings.model.tag
    classifier = load_classifier(model_store.folder_of(tag), settings.inference.batch_size)
    files = expand(data)
    name = joint_name(files)
    with Progress(TextColumn("{task.description}"), MofNCompleteColumn(), console=err) as progress:
        task = progress.add_task(f"reading {name}", total=None)
        found = measure_drift(
            classifier,
            name,
            iterate_texts(files, text_column, encoding),
            settings.drift.psi_alarm,
            lambda count: progress.advance(task, count),
        )
    report = found.report
    if as_json:
        skipped = dict(found.skipped.counts)
        shown = {"model": tag, "data": name, "skipped": skipped} | dict(drift_answer(report))
        sys.stdout.write(json.dumps(shown, indent=2) + "\n")
    else:
        print_skipped(out, name, found.skipped, len(files) > 1)
        _print_report(tag, name, report)
    if plots is not None:
        for path in write_drift_plots(report, plots):
            err.print(f"wrote {path}")
    if any(feature.is_alarm for feature in report.features):
        raise typer.Exit(DRIFTED)


def _print_report(tag: str, data: str, report: "DriftReport") -> None:
    title = f"{report.texts:,} texts of {data} against {report.reference_texts:,} held-out texts of {tag}"
    overall = Table(title=Text(harmless(title)), title_justify="left")
    for column in ("feature", "PSI", "test", "statistic", "p-value", "verdict"):
        overall.add_column(column, justify="left" if column in {"feature", "test", "verdict"} else "right")
    for found in report.features:
        verdict = "drifted" if found.is_alarm else "quiet"
        figures = (f"{found.test.statistic:.4f}", f"{found.test.p_value:.2g}")
        overall.add_row(found.feature, f"{found.psi:.4f}", found.test.name, *figures, verdict)
    out.print(overall)
    for found in report.features:
        bins = Table(title=found.feature, title_justify="left")
        for column in ("bin", "held-out texts", "these texts"):
            bins.add_column(column, justify="left" if column == "bin" else "right")
        for bin_ in found.bins:
            if bin_.reference or bin_.window:
                shares = (f"{100 * bin_.reference:.2f} %", f"{100 * bin_.window:.2f} %")
                bins.add_row(Text(harmless(bin_.name)), *shares)
        out.print(bins)
    alarms = [found.feature for found in report.features if found.is_alarm]
    out.print(f"{report.status}: {', '.join(alarms)}" if alarms else str(report.status))
