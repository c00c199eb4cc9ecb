"""Commands that list the models of the store, and the n-grams that a model looks for."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.columns import Columns
from rich.table import Table
from rich.text import Text

from classifier.errors import ClassifierError
from cli.console import err, harmless, new_app, out

if TYPE_CHECKING:
    from classifier.artifact import Artifact
    from classifier.explain.strongest import StrongestNgrams

MAX_TOP = 1000
"""Most n-grams of a class that are listed."""

app = new_app()
models = typer.Typer(rich_markup_mode="markdown")
app.add_typer(models, name="models")


class NoNgrams(ClassifierError):
    """The model has no weights of n-grams."""


@models.callback(invoke_without_command=True, epilog="Example: `text-classifier models`")
def list_models(context: typer.Context) -> None:
    """List the models of the BentoML model store that the service can serve."""
    if context.invoked_subcommand is not None:
        return
    import model_store

    table = Table()
    for column in ("tag", "kind", "classes", "accuracy", "created"):
        table.add_column(column, overflow="fold")
    for model in model_store.stored_models():
        manifest = model.manifest
        created = f"{model.created:%Y-%m-%d %H:%M}"
        if manifest is None:
            table.add_row(model.tag, "broken", "", "", created)
            continue
        accuracy = manifest.metrics.get("test_accuracy", manifest.metrics.get("validation_accuracy"))
        shown = "" if accuracy is None else f"{100 * accuracy:.2f} %"
        table.add_row(model.tag, manifest.model.kind, str(len(manifest.labels)), shown, created)
    out.print(table)


@models.command(epilog="Example: `text-classifier models explain imdb-sentiment:latest --top 20`")
def explain(
    tag: Annotated[
        str | None,
        typer.Argument(
            help="Tag in the store. Default: the model that the settings name.", show_default=False
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=MAX_TOP, help="How many n-grams of each class.")] = 20,
    short: Annotated[
        bool, typer.Option("--short", help="Show the weights for short texts instead of those for long ones.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """List the n-grams that speak most for each class of a linear model.

    The weight is what an n-gram adds to the log-odds of the class, before the text's features are divided by
    their norm. The last line says what the log-odds are against. A word after ¬ is negated, so "¬good" is the
    "good" of "not good".
    """
    import model_store
    from classifier.artifact import read_artifact
    from classifier.explain.strongest import strongest_ngrams
    from classifier.settings import load_settings

    settings = load_settings()
    if tag is None:
        model_store.put_bundled_model(settings.model)
        tag = settings.model.tag
    artifact = read_artifact(model_store.folder_of(tag))
    classes = _strongest(tag, artifact, top, short)
    if as_json:
        shown = [
            {
                "label": one.label,
                "compared_with": one.compared_with,
                "ngrams": [{"ngram": name, "weight": weight} for name, weight in one.ngrams],
            }
            for one in classes
        ]
        sys.stdout.write(
            json.dumps({"model": tag, "for_short_texts": short, "classes": shown}, indent=2) + "\n"
        )
    else:
        if not short and strongest_ngrams(artifact, 1, for_short_texts=True):
            err.print("weights for long texts; --short shows those for short texts")
        out.print(Columns([_table(one) for one in classes], padding=(0, 4)), soft_wrap=False)
        out.print(f"weights: log-odds of a class against {classes[0].compared_with}, before calibration")


def _strongest(tag: str, artifact: "Artifact", count: int, short: bool) -> "list[StrongestNgrams]":
    from classifier.explain.strongest import strongest_ngrams

    found = strongest_ngrams(artifact, count, for_short_texts=short)
    if found is not None:
        return found
    if short and strongest_ngrams(artifact, 1) is not None:
        raise NoNgrams(f"{tag} has no weights of its own for short texts; leave out --short")
    raise NoNgrams(
        f"{tag}, a model of the kind {artifact.manifest.model.kind}, has no weights of known n-grams; "
        "`text-classifier predict --explain` explains what such a model predicts for a text"
    )


def _table(one: "StrongestNgrams") -> Table:
    table = Table(title=Text(f"for {harmless(one.label)}"), title_justify="left")
    table.add_column("n-gram", overflow="fold")
    table.add_column("weight", justify="right")
    for name, weight in one.ngrams:
        table.add_row(Text(harmless(name)), f"{weight:.4f}")
    return table
