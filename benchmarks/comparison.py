"""Compares the service with its peers under the same load and with the same artifact.

Run it on a machine with nothing else to do. `make bench` installs the peers first.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from benchmarks.artifacts import KINDS, prepare
from benchmarks.bodies import request_texts
from benchmarks.closed_loop import Clients, check_wrk
from benchmarks.errors import WrongOption
from benchmarks.open_loop import allow_connections
from benchmarks.report import machine_facts, write_report
from benchmarks.rounds import Measurement, Plan, Rate
from benchmarks.servers import SERVERS

SERVERS_BY_NAME = {server.name: server for server in SERVERS}

Named = TypeVar("Named")


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _named(what: str, text: str, known: Mapping[str, Named]) -> tuple[Named, ...]:
    for name in _parts(text):
        if name not in known:
            raise WrongOption(f"{what} {name!r} is unknown; the known ones are {', '.join(known)}")
    return tuple(known[name] for name in _parts(text))


def _clients(text: str) -> tuple[Clients, ...]:
    clients = []
    for part in _parts(text):
        count = part.removesuffix("new")
        if not count.isdecimal() or int(count) < 1:
            raise WrongOption(
                f"connections {part!r} is not a whole number of at least 1, alone or followed by `new`"
            )
        clients.append(Clients(int(count), keep_connections=count == part))
    return tuple(clients)


def _rate(text: str) -> Rate:
    try:
        amount = float(text.removesuffix("x"))
    except ValueError:
        raise WrongOption(
            f"rate {text!r} is not a number or a number followed by x, as in 500 or 0.8x"
        ) from None
    return Rate(amount, "capacities" if text.endswith("x") else "requests")


def compare(
    artifact: str,
    servers: str | None,
    connections: str,
    rates: str,
    rounds: int,
    seconds: float,
    output: Path,
) -> None:
    """Measure the servers, and write and print a report for each artifact.

    `artifact`, `servers` (None means all), `connections` and `rates` are comma-separated lists. `seconds` is
    the length of each load. Raises WrongOption and BenchmarkError.
    """
    kinds = _named("artifact", artifact, KINDS)
    plan = Plan(
        servers=SERVERS if servers is None else _named("server", servers, SERVERS_BY_NAME),
        clients=_clients(connections),
        rates=tuple(map(_rate, _parts(rates))),
        rounds=rounds,
        seconds=seconds,
    )
    check_wrk()
    if plan.rates:
        allow_connections()
    console = Console(stderr=True)
    minutes = len(kinds) * plan.estimated_seconds / 60
    console.print(f"This takes about {minutes:.0f} minutes")
    source, texts = request_texts()
    size = sum(len(text.encode()) for text in texts) / len(texts)
    facts = machine_facts() | {"texts": f"{len(texts):,} of {source}, {size:,.0f} bytes on average"}
    logs = output / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds:
            console.print(f"preparing the {kind} artifact")
            served = prepare(kind, Path(folder))
            results = Measurement(plan, served, texts, Path(folder), logs, console.print).run()
            print(write_report(output, kind, facts, plan, results))  # noqa: T201
    console.print(f"written to {output}")
