"""Open fitted searches for the best model, such as GridSearchCV."""

from dataclasses import replace
from typing import Any

from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline

from training_import.conversion.converted import Package, UnsupportedModel


def open_searches(package: Package) -> Package:
    """Return the package with the best estimator in the place of each search, also inside of Pipelines.

    Raises UnsupportedModel for a search that has none.
    """
    notes: list[str] = []
    model, tokenizer = _opened("model", package.model, notes), _opened("vectorizer", package.tokenizer, notes)
    return replace(package, model=model, tokenizer=tokenizer, notes=(*package.notes, *notes))


def _opened(name: str, part: Any, notes: list[str]) -> Any:
    """Return a step without searches, and add what they chose to the notes."""
    if type(part) is Pipeline:
        return Pipeline([(inner, _opened(inner, step, notes)) for inner, step in part.steps])
    if not isinstance(part, BaseSearchCV):
        return part
    if not hasattr(part, "best_estimator_"):
        raise UnsupportedModel(
            f"step {name!r} is a {type(part).__name__} without a best estimator; it must be fitted with "
            "refit=True"
        )
    notes.append(f"It is the best estimator of a {type(part).__name__}, which chose {part.best_params_}.")
    return _opened(name, part.best_estimator_, notes)
