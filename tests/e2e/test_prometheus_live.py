"""A real Prometheus scrapes real servers: every expression has data, and each fault fires its alerts only."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml
from poison import Fault
from ports import free_port
from prometheus_tools import program, promtool

from monitoring import dashboard, panels
from monitoring.alerts import groups
from monitoring.expressions import ALERTS, PROCESS
from monitoring.rules import RUNBOOK, Alert, Group, Recording, rule_file
from serving.routes import METRICS as METRICS_ROUTE
from serving.telemetry import catalogue

WELL, OVERLOADED, SLOW, KILLED = "well", "overloaded", "slow", "killed"
DRIFTED, BROKEN = "drifted", "broken"
"""The jobs. Each has one server, and rules of its own."""

LONGEST_HOLD_SECONDS = 10
"""In place of the minutes for which the conditions of an alert must hold."""

PAGE, TICKET = "page", "ticket"
FAILING = {("TextClassifierFailing", PAGE), ("TextClassifierFailing", TICKET)}
EXPECTED = {
    WELL: set(),
    OVERLOADED: FAILING | {("TextClassifierRefusing", TICKET)},
    SLOW: {("TextClassifierSlow", PAGE), ("TextClassifierSlow", TICKET)},
    KILLED: {("TextClassifierRestarts", TICKET)},
    DRIFTED: {("TextClassifierDrift", TICKET)},
    BROKEN: {("TextClassifierAbsent", PAGE), ("TextClassifierTargetDown", TICKET)},
}
POSSIBLE = {OVERLOADED: {("TextClassifierSaturated", TICKET)}}
"""Whether the scrapes see a full queue is chance."""

NEWS = Path(__file__).parents[1] / "data" / "agnews_test.jsonl"
SAME_TEXTS = {"CLASSIFIER__DRIFT__PSI_ALARM": "100"}
"""For servers that get the same few texts again and again, which drift as well."""

VARIABLES = {f"${name}": ".*" for name in panels.VARIABLES} | {panels.INTERVAL: "30s"}
DAY_SECONDS = 86_400
LATER = (0, DAY_SECONDS, 7 * DAY_SECONDS)
"""An expression with `offset 1d` has its data in a day."""


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    url: str

    def query(self, expression: str, seconds_later: int = 0) -> list[dict[str, Any]]:
        """The series that an expression has now, or will have."""
        at = {"query": expression, "time": str(time.time() + seconds_later)}
        answer = httpx.get(f"{self.url}/api/v1/query", params=at, timeout=30).json()
        assert answer["status"] == "success", (expression, answer)
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def firing(self) -> dict[str, set[tuple[str, str]]]:
        """The names and severities of the alerts that fire, by job."""
        found: dict[str, set[tuple[str, str]]] = {job: set() for job in EXPECTED}
        for alert in self.query('ALERTS{alertstate="firing"}'):
            labels = alert["metric"]
            found[labels["job"]].add((labels["alertname"], labels["severity"]))
        return found


def seconds(duration: str) -> int:
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]


def hurried(group: Group) -> Group:
    """The same rules, evaluated every second, with shorter times to hold. The expressions are the same."""
    rules: list[Recording | Alert] = []
    for rule in group.rules:
        if isinstance(rule, Alert):
            rules.append(replace(rule, hold=f"{min(seconds(rule.hold), LONGEST_HOLD_SECONDS)}s"))
        else:
            rules.append(rule)
    return replace(group, interval="1s", rules=tuple(rules))


@contextmanager
def running_prometheus(folder: Path, ports: Mapping[str, int], wait_until: Any) -> Iterator[Prometheus]:
    """Scrape one server for each job every second."""
    for job in ports:
        document = rule_file([hurried(group) for group in groups(job, memory_bytes=2**40)], RUNBOOK)
        (folder / f"{job}.rules.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    configuration = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["*.rules.yaml"],
        "scrape_configs": [
            {
                "job_name": job,
                "metrics_path": METRICS_ROUTE.path,
                "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
            }
            for job, port in ports.items()
        ],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    command = [
        program("prometheus", "prometheus"),
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)

    def is_ready() -> bool:
        assert process.poll() is None, (folder / "prometheus.log").read_text()
        try:
            return httpx.get(f"http://{address}/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(is_ready, "Prometheus is ready")
        yield Prometheus(f"http://{address}")
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def repeating(action: Callable[[httpx.Client], None], url: str, clients: int = 1) -> Iterator[None]:
    """Do something again and again in threads; errors of the connection are ignored, as by a client."""
    done = threading.Event()

    def repeat() -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            while not done.is_set():
                try:
                    action(client)
                except httpx.TransportError:
                    done.wait(0.1)

    threads = [threading.Thread(target=repeat) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def ask_gently(client: httpx.Client) -> None:
    client.post("/predict", json={"text": "A wonderful film. " * 5})
    client.post("/predict/batch", json={"texts": ["A terrible film.", "qwertz " * 50, "good " * 2000]})
    client.get("/no-such-path")
    time.sleep(0.05)


def give_feedback(client: httpx.Client) -> None:
    answer = client.post("/predict", json={"text": "A wonderful film."})
    client.post(
        "/feedback", json={"request_id": answer.headers["x-request-id"], "label": answer.json()["label"]}
    )
    time.sleep(0.2)


def ask_about_news(client: httpx.Client) -> None:
    lines = NEWS.read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    client.post("/predict/batch", json={"texts": texts[:100]})
    client.post("/predict/batch", json={"texts": texts[100:]})
    time.sleep(0.5)


def ask_for_much(client: httpx.Client) -> None:
    client.post("/predict/batch", json={"texts": ["A film of no importance. " * 20] * 100})


def ask_for_slow_answers(client: httpx.Client) -> None:
    client.post("/predict/batch", json={"texts": [Fault.SLEEPS.text] * 8})


def kill_worker(process: subprocess.Popen[bytes]) -> None:
    (worker,) = psutil.Process(process.pid).children()
    worker.send_signal(signal.SIGKILL)


@pytest.fixture(scope="module")
def prometheus(serve: Any, wait_until: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus after all faults have lasted for so long that their alerts fire."""
    program("prometheus", "prometheus")  # before the servers start
    home = tmp_path_factory.mktemp("home")
    bentoml = Path(sys.executable).parent / "bentoml"
    poisoned = (bentoml, "serve", "poisoned_service:TextClassifier", "--working-dir", Path(__file__).parent)
    # Every run has one text and is in a thread, so that only the answers are slow, and not the event loop.
    one_by_one = {
        "CLASSIFIER__INFERENCE__BATCH_SIZE": "1",
        "CLASSIFIER__BATCHING__MAX_INLINE_SECONDS": "1e-9",
        "CLASSIFIER__BATCHING__MAX_WAITING_SECONDS": "100",
        "CLASSIFIER__BATCHING__DEADLINE_SECONDS": "100",
    }
    few_texts = {"CLASSIFIER__BATCHING__MAX_WAITING_TEXTS": "100"}
    feedback = {"CLASSIFIER__FEEDBACK__PATH": str(tmp_path_factory.mktemp("feedback") / "answers.sqlite")}
    with ExitStack() as stack:
        servers = {
            WELL: stack.enter_context(serve(home, **SAME_TEXTS, **feedback)),
            OVERLOADED: stack.enter_context(serve(home, **SAME_TEXTS, **few_texts)),
            SLOW: stack.enter_context(serve(home, poisoned, **SAME_TEXTS, **one_by_one)),
            KILLED: stack.enter_context(serve(home, **SAME_TEXTS)),
            DRIFTED: stack.enter_context(serve(home)),
        }
        ports = {job: server.port for job, server in servers.items()} | {BROKEN: free_port()}
        stack.enter_context(repeating(ask_gently, servers[WELL].url))
        stack.enter_context(repeating(give_feedback, servers[WELL].url))
        folder = tmp_path_factory.mktemp("prometheus")
        prometheus = stack.enter_context(running_prometheus(folder, ports, wait_until))
        stack.enter_context(repeating(ask_gently, servers[KILLED].url))
        stack.enter_context(repeating(ask_for_much, servers[OVERLOADED].url, clients=4))
        stack.enter_context(repeating(ask_about_news, servers[DRIFTED].url))
        stack.enter_context(repeating(ask_for_slow_answers, servers[SLOW].url))

        starts = f'changes(process_start_time_seconds{{job="{KILLED}"}}[1h])'
        for death in (1, 2):
            wait_until(lambda: prometheus.query(f'up{{job="{KILLED}"}} == 1'), "the worker is scraped")
            kill_worker(servers[KILLED].process)
            replaced = f"{starts} >= {death}"
            wait_until(partial(prometheus.query, replaced), "the next worker is scraped")
        wait_until(
            lambda: all(EXPECTED[job] <= alerts for job, alerts in prometheus.firing().items()),
            "every fault has fired its alerts",
        )
        yield prometheus


@pytest.mark.parametrize("job", EXPECTED)
def test_each_fault_fires_its_alerts_and_no_other(prometheus: Prometheus, job: str) -> None:
    assert prometheus.firing()[job] - POSSIBLE.get(job, set()) == EXPECTED[job]


def expressions() -> Iterator[str]:
    """The expressions of all rules and of the dashboard; those of alerts without their bounds."""
    for group in groups(WELL, memory_bytes=2**40):
        for rule in group.rules:
            if isinstance(rule, Alert):
                yield from (condition.expression for condition in rule.conditions)
            else:
                yield rule.expression
                yield f'{rule.record}{{job="{WELL}"}}'
    for expression in dashboard.expressions():
        # Alerts fire only where there is a fault.
        job = OVERLOADED if f"{ALERTS}{{" in expression else WELL
        for name, value in (VARIABLES | {f"${panels.JOB}": job}).items():
            expression = expression.replace(name, value)  # noqa: PLW2901
        yield expression


@pytest.mark.parametrize("expression", list(expressions()))
def test_every_expression_has_data(prometheus: Prometheus, expression: str) -> None:
    assert any(prometheus.query(expression, later) for later in LATER), expression


def test_prometheus_has_every_series_of_the_catalogue(prometheus: Prometheus) -> None:
    series = {name for metric in catalogue.METRICS for name in metric.series} | set(PROCESS)
    assert [name for name in series if not prometheus.query(f'{name}{{job="{WELL}"}}')] == []


def test_promtool_has_no_complaint_about_the_metrics(prometheus: Prometheus) -> None:
    (target,) = prometheus.query(f'up{{job="{WELL}"}}')
    metrics = httpx.get(f"http://{target['metric']['instance']}{METRICS_ROUTE.path}").content
    assert promtool("check", "metrics", given=metrics).stderr == b""
