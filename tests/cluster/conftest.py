"""The cluster that KUBECONFIG names, a registry that its nodes reach, and images in it."""

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from cluster import (
    APPLICATION,
    BEHIND_A_PORT,
    ENGINE,
    ENVIRONMENT,
    ENVIRONMENTS,
    FOR_TESTS,
    NAMESPACE,
    NODE_PORT,
    RENDERED,
    REPORTS,
    ROOT,
    SECONDS,
    TEXTS,
    Load,
    Models,
    Registry,
    UnderLoad,
    deploy,
    environments,
    kubectl,
    manifest_files,
    render,
    tool,
    wait_until,
)

from classifier.pipeline import load_classifier
from classifier.settings import BUNDLED_MODEL

REGISTRY_PORT = 5000
EVERY_OPTION = "every option"


@pytest.fixture(scope="session", autouse=True)
def cluster() -> None:
    """Allow only `make cluster-test` to change a cluster, and require that there is one."""
    if "CLUSTER_TEST" not in os.environ:
        pytest.skip("`make cluster-test` runs this, on the cluster that KUBECONFIG names")
    if "KUBECONFIG" not in os.environ:
        pytest.fail("KUBECONFIG names no cluster")


@pytest.fixture(scope="session")
def registry(cluster: None) -> Iterator[Registry]:  # noqa: ARG001
    """A registry: that of REGISTRY, or one that runs on this machine during the tests."""
    if "REGISTRY" in os.environ:
        yield Registry(os.environ["REGISTRY"], None)
        return
    address = f"localhost:{REGISTRY_PORT}"
    REPORTS.mkdir(parents=True, exist_ok=True)
    with (
        (REPORTS / "registry.log").open("w", encoding="utf-8") as log,
        subprocess.Popen([tool("registry"), "-port", str(REGISTRY_PORT)], stderr=log) as server,
    ):

        def answers() -> bool:
            assert server.poll() is None, f"{log.name}: {Path(log.name).read_text(encoding='utf-8')}"
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"http://{address}/v2/").is_success
            return False

        try:
            wait_until(answers, "the registry answers", 10)
            yield Registry(address, server)
        finally:
            server.terminate()


@pytest.fixture(scope="session")
def images(registry: Registry) -> Mapping[str, str]:
    """`first` and `second`, with different models, and `damaged`, by digest; `local` is the first by tag."""
    subprocess.run([ROOT / "tests" / "cluster" / "images", registry.address, ENGINE], check=True)
    return json.loads((REPORTS / "images.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def models(images: Mapping[str, str]) -> Models:  # noqa: ARG001
    found = []
    for folder in (BUNDLED_MODEL, REPORTS / "second"):
        predictions = load_classifier(folder).predict(TEXTS)
        found.append({text: one.probabilities for text, one in zip(TEXTS, predictions, strict=True)})
    return found


@pytest.fixture(scope="session")
def namespace(cluster: None) -> Iterator[None]:  # noqa: ARG001
    """The namespace, without anything from an earlier run; it is deleted after the tests."""
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")
    environments(BEHIND_A_PORT, ENVIRONMENT, FOR_TESTS)
    yield
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")


@pytest.fixture
def deployed(namespace: None, images: Mapping[str, str]) -> None:  # noqa: ARG001
    """Deploy the first image, whatever an earlier test left."""
    deploy(images["first"])


@pytest.fixture
def rendered(tmp_path: Path) -> Callable[[str], Path]:
    """A function that renders the environment with an image and returns the folder."""
    return lambda image: render(tmp_path, BEHIND_A_PORT, ENVIRONMENT, "--image", image)


@pytest.fixture
def url(deployed: None) -> str:  # noqa: ARG001
    return f"http://127.0.0.1:{NODE_PORT}"


@pytest.fixture
def under_load(
    url: str,
    models: Models,
    record_property: Callable[[str, object], None],
) -> UnderLoad:
    """Constant load during a block, for at least SECONDS."""

    @contextlib.contextmanager
    def load(kind: type[Load] = Load) -> Iterator[Load]:
        load, stop, begin = kind(url, models), threading.Event(), time.monotonic()
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
        record_property("longest_failure", load.longest_failure)
        record_property("by_model", load.by_model)
        print(  # noqa: T201
            f"{load.requests} requests, {len(load.failures)} failures (the longest took "
            f"{load.longest_failure:.2f} s), answers by model {load.by_model}"
        )

    return load


@pytest.fixture(params=[*ENVIRONMENTS, EVERY_OPTION])
def manifests(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    """The committed files of an environment, or those of production with every other option."""
    if request.param != EVERY_OPTION:
        return manifest_files(RENDERED / request.param)
    keda = {"prometheus": "http://prometheus.monitoring:9090", "requests_in_progress": 8}
    overrides = {
        "gpu": {"count": 1},
        "autoscaler": {"keda": keda},
        "labels": {"team": "search"},
        "pods": {"annotations": {"example.com/owner": "search"}, "priority_class": "high"},
        "service": {"annotations": {"example.com/owner": "search"}},
        "service_account": {"annotations": {"example.com/owner": "search"}},
        "api_keys": {"secret": "text-classifier-keys"},
        "ui": {
            "image": f"registry.example.com/text-classifier-ui@sha256:{'2' * 64}",
            "api_key": {"secret": "text-classifier-ui-key"},
            "host": "reviews.example.com",
            "annotations": {"example.com/owner": "search"},
        },
        "pod_monitor": {
            "prometheus_namespace": "monitoring",
            "every_seconds": 15,
            "rules": True,
            "dashboard": True,
        },
        "tracing": {"namespace": "monitoring", "port": 4318},
        "config": {"tracing": {"endpoint": "http://collector.monitoring:4318"}},
    }
    described = environments(tmp_path / "environments.yaml", "production", overrides)
    return manifest_files(render(tmp_path, described, "production", "--canary", f"sha256:{'1' * 64}"))


@pytest.fixture(scope="session")
def spaces(cluster: None) -> Iterator[None]:  # noqa: ARG001
    """Create the namespaces of all environments."""
    there = kubectl("get", "namespaces", "--output", "name").splitlines()
    missing = [name for name in ENVIRONMENTS if f"namespace/{APPLICATION}-{name}" not in there]
    for name in missing:
        kubectl("apply", "--filename", str(RENDERED / name / "namespace.yaml"))
    yield
    for name in missing:
        kubectl("delete", "namespace", f"{APPLICATION}-{name}", "--ignore-not-found", "--wait=false")


@pytest.fixture(scope="session")
def operators(cluster: None) -> Iterator[None]:  # noqa: ARG001
    """Teach the API server the kinds of Gateway API, the Prometheus operator and KEDA."""
    there = {line.split()[0] for line in kubectl("get", "crds", "--no-headers").splitlines()}
    put = []
    for path in sorted(tool("operators").iterdir()):
        group, _, plural = path.stem.partition("_")
        if f"{plural}.{group}" not in there:
            kubectl("apply", "--server-side", "--filename", str(path))
            put.append(f"crd/{plural}.{group}")
    if put:
        kubectl("wait", "--for=condition=Established", *put)
    yield
    if put:
        kubectl("delete", *put)
