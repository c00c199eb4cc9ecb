"""The cluster that KUBECONFIG names, with the images that `tests/cluster/images` put onto its nodes."""

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest
from cluster import (
    IMAGES,
    NAMESPACE,
    ROOT,
    SECOND_MODEL,
    SECONDS,
    TEXTS,
    Load,
    kubectl,
    objects,
    ready_pods,
    render,
    rollout_status,
    wait_until,
)

from classifier.pipeline import load_classifier


@pytest.fixture(scope="session", autouse=True)
def cluster() -> None:
    """Skip, or in CI fail, where there is none."""
    if "KUBECONFIG" in os.environ and IMAGES.exists():
        return
    why = "KUBECONFIG names no cluster, or `make cluster-test` has put no images there"
    if "REQUIRE_CLUSTER" in os.environ:
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="session")
def images(cluster: None) -> Mapping[str, str]:  # noqa: ARG001
    """`first` and `second`, which have models of their own, and `damaged`."""
    return json.loads(IMAGES.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def models() -> Sequence[Mapping[str, Mapping[str, float]]]:
    """The probabilities of each text by the first and by the second image's model."""
    found = []
    for folder in (ROOT / "models" / "imdb-sentiment", SECOND_MODEL):
        predictions = load_classifier(folder).predict(TEXTS)
        found.append({text: one.probabilities for text, one in zip(TEXTS, predictions, strict=True)})
    return found


@pytest.fixture(scope="session")
def apply(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], None]:
    """Render the environment with an image and apply it."""

    def apply(image: str) -> None:
        folder = render(tmp_path_factory.mktemp("rendered") / "local", image)
        kubectl("apply", "--kustomize", str(folder))

    return apply


@pytest.fixture(scope="session")
def namespace(cluster: None) -> Iterator[None]:  # noqa: ARG001
    """Nothing of an earlier run is there, and nothing of this one stays."""
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait")
    yield
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")


@pytest.fixture
def deployed(namespace: None, images: Mapping[str, str], apply: Callable[[str], None]) -> None:  # noqa: ARG001
    """The first image is rolled out and ready."""
    apply(images["first"])
    rollout_status()
    wait_until(lambda: len(ready_pods()) >= 2, "two pods are ready")


@pytest.fixture
def url(deployed: None) -> str:  # noqa: ARG001
    (service,) = [one for one in objects("services") if one["spec"]["type"] == "NodePort"]
    return f"http://127.0.0.1:{service['spec']['ports'][0]['nodePort']}"


@pytest.fixture
def under_load(
    url: str,
    models: Sequence[Mapping[str, Mapping[str, float]]],
    record_property: Callable[[str, object], None],
) -> Callable[[], contextlib.AbstractContextManager[Load]]:
    """Constant load around a block, for SECONDS at least."""

    @contextlib.contextmanager
    def load() -> Iterator[Load]:
        load, stop, begin = Load(url, models), threading.Event(), time.monotonic()
        thread = threading.Thread(target=load.run, args=[stop])
        thread.start()
        try:
            yield load
            time.sleep(max(3.0, SECONDS - (time.monotonic() - begin)))
        finally:
            stop.set()
            thread.join()
        record_property("requests", load.requests)
        record_property("failures", len(load.failures))
        record_property("by_model", load.by_model)
        print(f"{load.requests} requests, {len(load.failures)} failures, answers by model {load.by_model}")  # noqa: T201

    return load
