"""The cluster that KUBECONFIG names, through kubectl, and load on the service in it."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from k8s.environment.loading import ENVIRONMENTS_PATH

Models = Sequence[Mapping[str, Mapping[str, float]]]
"""The probabilities of each text from the models of the first and the second image."""

ROOT = Path(__file__).parents[2]
ENGINE = os.environ.get("ENGINE", "podman")
RENDERED = ROOT / "k8s" / "rendered"
ENVIRONMENTS = sorted(folder.name for folder in RENDERED.iterdir())
REPORTS = ROOT / "reports" / "cluster"
BEHIND_A_PORT = REPORTS / "environments.yaml"
"""The project's environments, except that `local` has the sections of FOR_TESTS."""
NODE_PORT = 30080
PODS = 2
FOR_TESTS: Mapping[str, Any] = {
    "service": {"type": "NodePort", "node_port": NODE_PORT},
    "autoscaler": {"max_pods": PODS, "profile": "burst"},
    "ui": None,
}
"""A port for load, an autoscaler that never deletes the pod that a test looks at, and no web client."""
APPLICATION = "text-classifier"
ENVIRONMENT = "local"
NAMESPACE = f"{APPLICATION}-{ENVIRONMENT}"
DEPLOYMENT = f"deployment/{APPLICATION}"
SECONDS = float(os.environ.get("CLUSTER_LOAD_SECONDS", "60"))
"""Shortest time of load, in seconds, while something is done to the service."""

PATIENCE_SECONDS = 180
TEXTS = [
    "A moving, beautifully acted film. I would watch it again.",
    "Dull, badly cut and far too long; the worst evening in years.",
    "The second half is better than the first.",
]
ASK_WITH_CLIENT = """
import sys
from ui.client import Client
from ui.settings import settings
print(Client(settings()).predict(sys.argv[1]).value["confidence"])
"""
"""For `python -c` in a container of the web client, with a text."""
ASK_PREDICT = """
import json, sys, urllib.request
url, text = sys.argv[1:]
body = json.dumps({"text": text}).encode()
request = urllib.request.Request(f"{url}/predict", body, {"content-type": "application/json"})
print(urllib.request.urlopen(request, timeout=30).read().decode())
"""
"""For `python3 -c` in a container, with a URL and a text."""


def run_kubectl(
    *arguments: str, timeout: float = PATIENCE_SECONDS, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["kubectl", *arguments], capture_output=True, text=True, check=False, timeout=timeout, input=stdin
    )


def kubectl(*arguments: str, check: bool = True, **more: Any) -> str:
    """What kubectl prints. If it fails and `check` is set, the test fails with its error."""
    done = run_kubectl(*arguments, **more)
    if check and done.returncode:
        pytest.fail(f"kubectl {' '.join(arguments)}: {done.stderr or done.stdout}")
    return done.stdout if done.returncode == 0 else done.stderr + done.stdout


def in_namespace(*arguments: str, **more: Any) -> str:
    return kubectl("--namespace", NAMESPACE, *arguments, **more)


def objects(kind: str, *arguments: str) -> list[Any]:
    return json.loads(in_namespace("get", kind, "--output", "json", *arguments))["items"]


def remaining_pods() -> dict[str, Any]:
    """The pods that are not terminating, by name."""
    return {
        pod["metadata"]["name"]: pod
        for pod in objects("pods", "--selector", "app.kubernetes.io/name=text-classifier")
        if "deletionTimestamp" not in pod["metadata"]
    }


def ready_pods() -> list[str]:
    """Names of the pods that are ready and are not terminating."""
    return [
        name
        for name, pod in remaining_pods().items()
        if any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for condition in pod["status"].get("conditions", [])
        )
    ]


def log(pod: str, *, previous: bool = False) -> str:
    """The log of the pod's present or previous container; empty if there is no such pod or container."""
    done = run_kubectl("--namespace", NAMESPACE, "logs", pod, f"--previous={str(previous).lower()}")
    return done.stdout if done.returncode == 0 else ""


def container_status(pod: str) -> Any:
    """The status of the pod's only container."""
    (found,) = [one for one in objects("pods") if one["metadata"]["name"] == pod]
    return found["status"]["containerStatuses"][0]


def wait_until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(
                f"not within {seconds:g} s: {what}; {in_namespace('get', 'pods', '--output', 'wide')}"
            )
        time.sleep(0.5)
    return found


def tool(name: str) -> Path:
    """A program that `make cluster-test` installs; the test fails if it is missing."""
    path = ROOT / ".tools" / name
    if not path.exists():
        pytest.fail(f"{path} is missing; `make .tools/{name}` installs it")
    return path


def make(target: str, *, check: bool = True, **variables: str) -> str:
    """What a make target prints. If it fails and `check` is set, the test fails with its output."""
    given = {"ENV": ENVIRONMENT, "ENVIRONMENTS": str(BEHIND_A_PORT)} | variables
    command = ["make", target, *[f"{name}={value}" for name, value in given.items()]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if check and done.returncode:
        pytest.fail(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def deploy(image: str) -> None:
    """Deploy an image and wait until exactly PODS pods are left and ready."""
    make("deploy", IMAGE=image)
    wait_until(lambda: len(ready_pods()) == PODS, f"{PODS} pods are ready")


@contextmanager
def forwarded(service: str) -> Iterator[str]:
    """Forward a port of this machine to a Service during the block; gives its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["kubectl", "--namespace", NAMESPACE, "port-forward", f"service/{service}", f"{port}:http"]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as forward:
        try:
            wait_until(lambda: answers(url), "the forwarded port answers", 30)
            yield url
        finally:
            forward.terminate()


def answers(url: str) -> bool:
    """Whether a server answers at this URL, whatever it says."""
    try:
        httpx.get(url, timeout=30)
    except httpx.TransportError:
        return False
    return True


def rollout_status() -> None:
    in_namespace("rollout", "status", DEPLOYMENT, "--timeout", "120s")


def manifest_files(folder: Path) -> list[Path]:
    """The manifests of a folder, one for each object."""
    return [path for path in sorted(folder.glob("*.yaml")) if path.stem != "kustomization"]


def environments(path: Path, name: str, overrides: Mapping[str, Any]) -> Path:
    """Write the project's environments with other sections in one of them; returns the path."""
    tree = yaml.safe_load(ENVIRONMENTS_PATH.read_text(encoding="utf-8"))
    tree[name] |= overrides
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path


def render(out: Path, described: Path, environment: str, *more: str) -> Path:
    """Render an environment; returns its folder, for `kubectl apply --kustomize`."""
    command = [sys.executable, "-m", "cli", "manifests", "--env", environment]
    done = subprocess.run(
        [*command, "--environments", str(described), "--out", str(out), *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return out / environment


def config_changed(folder: Path, old: str, new: str) -> Path:
    """Replace a text in the config of a rendered environment, which gets another name; returns the folder."""
    (config,) = [
        path for path in folder.glob("*.yaml") if yaml.safe_load(path.read_text())["kind"] == "ConfigMap"
    ]
    name = yaml.safe_load(config.read_text())["metadata"]["name"]
    for path in folder.glob("*.yaml"):
        content = path.read_text(encoding="utf-8")
        if path == config:
            assert old in content
            content = content.replace(old, new)
        path.write_text(content.replace(name, f"{name}-{zlib.crc32(new.encode()):x}"), encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Registry:
    """A registry that the nodes reach."""

    address: str
    server: subprocess.Popen[bytes] | None
    """Its process; None if it is not one of this machine."""

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Let it answer nobody during the block. The test is skipped if that is not possible from here."""
        if self.server is None:
            pytest.skip("the registry of REGISTRY is not a process of this machine")
        self.server.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.server.send_signal(signal.SIGCONT)


@dataclass
class Load:
    """Constant load from a few clients, half of which keep their connection, and what they received."""

    url: str
    right: Models
    """Every answer must be that of one of these models."""
    clients: int = 8
    pause_seconds: float = 0.05
    requests: int = 0
    failures: list[str] = field(default_factory=list)
    longest_failure: float = 0.0
    """Longest time that a client waited for a failure, in seconds."""
    by_model: list[int] = field(default_factory=list)
    by_model_kept: list[int] = field(default_factory=list)
    """Those of `by_model` that came on kept connections."""

    def run(self, stop: threading.Event) -> None:
        self.by_model, self.by_model_kept = [0] * len(self.right), [0] * len(self.right)
        asyncio.run(self._run(stop))

    async def _run(self, stop: threading.Event) -> None:
        await asyncio.gather(*[self._client(stop, number % 2 == 0) for number in range(self.clients)])

    async def _client(self, stop: threading.Event, keeps: bool) -> None:
        limits = httpx.Limits(max_keepalive_connections=1 if keeps else 0)
        async with httpx.AsyncClient(timeout=30, limits=limits) as client:
            while not stop.is_set():
                await self._ask(client, TEXTS[self.requests % len(TEXTS)], keeps)
                await asyncio.sleep(self.pause_seconds)

    async def _ask(self, client: httpx.AsyncClient, text: str, is_kept: bool) -> None:
        self.requests += 1
        begin = time.monotonic()
        try:
            answer = await client.post(f"{self.url}/predict", json={"text": text})
        except httpx.HTTPError as error:
            seconds = time.monotonic() - begin
            self.failures.append(f"{seconds:.2f} s: {error!r}")
            self.longest_failure = max(self.longest_failure, seconds)
            return
        if answer.status_code != 200:
            self.failures.append(f"{answer.status_code} {answer.text[:200]}")
            return
        for number, model in enumerate(self.right):
            if answer.json()["probabilities"] == pytest.approx(model[text], abs=1e-6):
                self.by_model[number] += 1
                self.by_model_kept[number] += is_kept
                return
        self.failures.append(f"an answer of neither model: {answer.text[:200]}")


@dataclass
class OpenLoad(Load):
    """Requests at a fixed rate, without waiting for earlier answers. Every other one opens a connection."""

    rate: float = 100.0

    async def _run(self, stop: threading.Event) -> None:
        loop, tasks = asyncio.get_running_loop(), set()
        keeps = httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_keepalive_connections=20))
        opens = httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_keepalive_connections=0))
        async with keeps, opens:
            begin = loop.time()
            while not stop.is_set():
                text = TEXTS[self.requests % len(TEXTS)]
                is_kept = len(tasks) % 2 == 1
                tasks.add(asyncio.create_task(self._ask(keeps if is_kept else opens, text, is_kept)))
                await asyncio.sleep(begin + len(tasks) / self.rate - loop.time())
            await asyncio.gather(*tasks)


UnderLoad = Callable[..., AbstractContextManager[Load]]
