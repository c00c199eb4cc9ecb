"""The service in this process, with the bundled model."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import model_store

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette would rather have httpx2
    from starlette.testclient import TestClient


@pytest.fixture(scope="session")
def service(bundled: Path) -> ModuleType:
    """`service.py`, imported once its model is in the store, as the module needs it."""
    model_store.save(bundled)
    import service

    return service


@pytest.fixture(scope="session")
def client(service: ModuleType) -> Iterator[TestClient]:
    with TestClient(service.TextClassifier.to_asgi()) as client:
        yield client
