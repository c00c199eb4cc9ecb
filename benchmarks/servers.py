"""The table of the compared servers, and how each is started, asked, measured and stopped."""

import http.client
import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.artifacts import KINDS, Kind, ServedArtifact
from benchmarks.bodies import ROOT
from benchmarks.errors import BenchmarkError
from benchmarks.peers.pipeline import HOST
from classifier import __version__

OURS = "service"
JSON_HEADERS = {"Content-Type": "application/json"}
START_SECONDS = 120.0
STOP_SECONDS = 40.0
ANSWER_SECONDS = 60.0
POLL_SECONDS = 0.02
LAST_LOG_LINES = 3
ANSWER_TOLERANCE = 1e-4
"""How far a probability of a server may be from that of the pipeline."""
PORTS = range(20_000, 30_000)
"""Below the ephemeral ports, because a server may open some of those for itself."""

Probabilities = Mapping[str, float]


def _text_body(text: str) -> object:
    return {"text": text}


def _texts_body(text: str) -> object:
    return {"texts": [text]}


def _v2_body(text: str) -> object:
    """A request body of the V2 (open inference) protocol."""
    return {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}]}


def _huggingface_body(text: str) -> object:
    """The same for MLServer's Hugging Face runtime, which fails for long texts unless it may cut them."""
    cut = {
        "name": "truncation",
        "shape": [1],
        "datatype": "BYTES",
        "data": ["true"],
        "parameters": {"content_type": "hg_json"},
    }
    return {"inputs": [{"name": "args", "shape": [1], "datatype": "BYTES", "data": [text]}, cut]}


def _from_object(answer: Any) -> Probabilities:
    return dict(answer["probabilities"])


def _from_list(answer: Any) -> Probabilities:
    return _from_object(answer[0])


def _from_v2(answer: Any) -> Probabilities:
    return _from_object(json.loads(answer["outputs"][0]["data"][0]))


def _from_huggingface(answer: Any) -> Probabilities:
    """Return the probabilities of the two labels of the benchmark; the answer has only the greater one."""
    found = json.loads(answer["outputs"][0]["data"][0])
    other = {"negative": "positive", "positive": "negative"}[found["label"]]
    return {found["label"]: found["score"], other: 1 - found["score"]}


@dataclass(frozen=True)
class Server:
    """One line of the table of servers."""

    name: str
    command: tuple[str, ...]
    """A program of its environment with arguments. Variables give it the port and the artifact."""
    package: str = ""
    """The name of the framework's distribution."""
    is_peer: bool = True
    """If True, it has its own virtual environment."""
    path: str = "/predict"
    body: Callable[[str], object] = _text_body
    probabilities: Callable[[Any], Probabilities] = _from_object
    kinds: tuple[Kind, ...] = tuple(KINDS.values())
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> Path:
        """The folder of its virtual environment."""
        return ROOT / ".venv-bench" / self.name if self.is_peer else Path(sys.prefix)

    @property
    def version(self) -> str:
        """The framework's name and version, or the version of this project."""
        if not self.package:
            return __version__
        folders = [str(folder) for folder in self.environment.glob("lib/python*/site-packages")]
        found = metadata.distributions(name=self.package, path=folders)
        return next(
            (f"{self.package} {distribution.version}" for distribution in found),
            f"{self.package} is not installed",
        )

    def encoded(self, text: str) -> bytes:
        """The body of a request as one line of JSON."""
        return json.dumps(self.body(text), ensure_ascii=False).encode()


def _peer(name: str, package: str, **more: Any) -> Server:
    return Server(name, ("python", "-m", f"benchmarks.peers.{name}"), package, **more)


SERVERS = (
    Server(OURS, ("python", "-m", "cli", "serve"), is_peer=False),
    Server(
        "observed",
        ("python", "-m", "cli", "serve"),
        is_peer=False,
        variables={
            "CLASSIFIER__LOGGING__FORMAT": "json",
            "CLASSIFIER__LOGGING__ACCESS_SHARE": "0.01",
            "CLASSIFIER__API__SERVER_TIMING": "true",
        },
    ),
    Server(
        "unrecorded",
        ("bentoml", "serve", "benchmarks.peers.unrecorded:TextClassifier"),
        is_peer=False,
    ),
    _peer("fastapi", "fastapi"),
    _peer("litserve", "litserve"),
    _peer("mlserver", "mlserver", path="/v2/models/classifier/infer", body=_v2_body, probabilities=_from_v2),
    _peer(
        "mlserver_huggingface",
        "mlserver-huggingface",
        path="/v2/models/classifier/infer",
        body=_huggingface_body,
        probabilities=_from_huggingface,
        kinds=("transformer",),
        variables={"USE_TF": "0", "TF_CPP_MIN_LOG_LEVEL": "3"},
    ),
    _peer(
        "ray",
        "ray",
        variables={"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_USAGE_STATS_ENABLED": "0"},
    ),
    Server(
        "bentoml",
        ("bentoml", "serve", "benchmarks.peers.bentoml:Peer"),
        "bentoml",
        is_peer=False,
        body=_texts_body,
        probabilities=_from_list,
    ),
    _peer("earlier", "keras", kinds=("cnn",), variables={"TF_CPP_MIN_LOG_LEVEL": "3"}),
)


@dataclass(frozen=True)
class RunningServer:
    """A server that has started and answers."""

    server: Server
    port: int
    process: psutil.Popen
    ready_seconds: float
    """The time from its start to its first answer."""

    @property
    def url(self) -> str:
        """The address for predictions."""
        return self.url_of(self.server.path)

    def url_of(self, path: str) -> str:
        """The address of one of its routes."""
        return f"http://{HOST}:{self.port}{path}"

    def check(self, texts: Sequence[str], expected: Sequence[Probabilities]) -> None:
        """Send all the texts concurrently; raise BenchmarkError if the probabilities are not as expected."""
        with ThreadPoolExecutor(len(texts)) as pool:
            answers = list(pool.map(lambda text: _ask(self.server, self.port, text), texts))
        for text, answer, probabilities in zip(texts, answers, expected, strict=True):
            try:
                got = self.server.probabilities(answer)
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise BenchmarkError(f"its answer has no probabilities: {answer!r:.200}") from error
            if got.keys() != probabilities.keys() or not np.allclose(
                [got[label] for label in probabilities],
                list(probabilities.values()),
                rtol=0,
                atol=ANSWER_TOLERANCE,
            ):
                raise BenchmarkError(
                    f"it answered {got} for {text[:60]!r}; the pipeline answers {probabilities}"
                )

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far."""
        return float(sum(times.user + times.system for times in self._each(psutil.Process.cpu_times)))

    def resident_bytes(self) -> int:
        """Resident memory of all its processes; a page that several share counts once for each."""
        return int(sum(memory.rss for memory in self._each(psutil.Process.memory_info)))

    def _each(self, figure: Callable[[psutil.Process], Any]) -> Iterator[Any]:
        for process in _processes(self.process):
            with suppress(psutil.NoSuchProcess):
                yield figure(process)


@contextmanager
def running(server: Server, artifact: ServedArtifact, log_file: Path) -> Iterator[RunningServer]:
    """Start a server, wait until it answers, and stop it at the end. Raises BenchmarkError."""
    if artifact.kind not in server.kinds:
        raise BenchmarkError(f"it serves only {' and '.join(server.kinds)}, not {artifact.kind}")
    program, *arguments = server.command
    executable = server.environment / "bin" / program
    if server.is_peer and not (server.environment / ".installed").exists():
        raise BenchmarkError(f"its environment is not installed: {_why_not_installed(server)}")
    port = free_port()
    begin = time.perf_counter()
    with log_file.open("wb") as log:
        process = psutil.Popen(
            [executable, *arguments],
            cwd=ROOT,
            env=_variables(server, artifact, port),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_until_it_answers(server, port, process, log_file)
        yield RunningServer(server, port, process, time.perf_counter() - begin)
        if process.poll() is not None:
            raise BenchmarkError(f"it ended with {process.poll()} under load: {_last_lines(log_file)}")
    finally:
        _stop(process)


def _why_not_installed(server: Server) -> str:
    log = server.environment / "install.log"
    if log.exists() and (lines := _last_lines(log)):
        return lines
    return f"`make .venv-bench/{server.name}/.installed` installs it"


def _variables(server: Server, artifact: ServedArtifact, port: int) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if "CLASSIFIER_" not in name}
    return {
        **inherited,
        "ARTIFACT": str(artifact.folder),
        "PORT": str(port),
        "CLASSIFIER__API__PORT": str(port),
        "CLASSIFIER__MODEL__NAME": artifact.classifier.manifest.name,
        "BENTOML_HOME": str(artifact.bentoml_home),
        "BENTOML_DO_NOT_TRACK": "True",
        "PYTHONPATH": str(ROOT),
        **server.variables,
    }


def free_port() -> int:
    """A port on which nothing listens. Raises BenchmarkError."""
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as listener, suppress(OSError):
            listener.bind((HOST, port))
            return port
    raise BenchmarkError(f"none of the ports from {PORTS.start} to {PORTS.stop - 1} is free")


def _ask(server: Server, port: int, text: str) -> Any:
    """Return the answer to one text. Raises BenchmarkError unless it is 200 with JSON."""
    connection = http.client.HTTPConnection(HOST, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("POST", server.path, server.encoded(text), JSON_HEADERS)
        response = connection.getresponse()
        content = response.read()
        if response.status != http.client.OK:
            raise BenchmarkError(f"it answered {response.status}: {content[:200].decode(errors='replace')}")
        return json.loads(content)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise BenchmarkError(f"no answer: {error!r}") from error
    finally:
        connection.close()


def _wait_until_it_answers(server: Server, port: int, process: psutil.Popen, log_file: Path) -> None:
    deadline = time.perf_counter() + START_SECONDS
    while process.poll() is None:
        try:
            _ask(server, port, "A text.")
        except BenchmarkError as error:
            if time.perf_counter() > deadline:
                raise BenchmarkError(
                    f"not ready {START_SECONDS:g} s after it started: {error}; {_last_lines(log_file)}"
                ) from error
            time.sleep(POLL_SECONDS)
        else:
            return
    raise BenchmarkError(f"it ended with {process.poll()} while it started: {_last_lines(log_file)}")


def _last_lines(log_file: Path) -> str:
    lines = log_file.read_text(encoding="utf-8", errors="replace").splitlines()
    return " ".join([line.strip() for line in lines if line.strip()][-LAST_LOG_LINES:])


def _processes(root: psutil.Process) -> set[psutil.Process]:
    """Find a server's processes: all its descendants, and all processes of its session."""
    found = set()
    with suppress(psutil.NoSuchProcess):
        found = {root, *root.children(recursive=True)}
    for pid in psutil.pids():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(pid) == root.pid:
                found.add(psutil.Process(pid))
    return found


def _stop(process: psutil.Popen) -> None:
    """Stop a server as a container runtime does, and then kill the processes that are left."""
    left = _processes(process)
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGTERM)
    with suppress(psutil.TimeoutExpired):
        process.wait(STOP_SECONDS)
    left |= _processes(process)
    for remaining in left:
        with suppress(psutil.NoSuchProcess):
            remaining.kill()
    psutil.wait_procs(left, STOP_SECONDS)
