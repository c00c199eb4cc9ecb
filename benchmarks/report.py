"""Writes results as JSON, Markdown tables and a plot."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import psutil

from benchmarks.closed_loop import Clients, ClosedLoad
from benchmarks.rounds import Plan, Results
from benchmarks.servers import OURS
from benchmarks.spread import spread
from training_import.markdown import markdown_table

MEGABYTE = 1e6


def machine_facts() -> dict[str, str]:
    """Facts about the machine on which the figures depend."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def write_report(folder: Path, kind: str, facts: Mapping[str, str], plan: Plan, results: Results) -> str:
    """Write `<kind>.json`, `<kind>.md` and `<kind>.png` into a folder; return the Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"facts": dict(facts), "artifact": kind, **asdict(results)}
    (folder / f"{kind}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    text = _markdown(kind, facts, plan, results)
    (folder / f"{kind}.md").write_text(text, encoding="utf-8")
    _plot(folder / f"{kind}.png", kind, plan, results)
    return text


def _markdown(kind: str, facts: Mapping[str, str], plan: Plan, results: Results) -> str:
    parts = [
        f"# Servers with the {kind} artifact",
        f"Each figure is the median over {plan.rounds} rounds (lowest–highest). In each round, every server "
        f"is started, warmed up, loaded for {plan.seconds:g} s at a time, and stopped. "
        "**The load generator and the server share the machine's cores** with everything else that runs "
        "there. Read the figures as ratios between servers, not as what a server can do.",
        markdown_table(("", ""), facts.items()),
        "## Closed loop: requests per second and latency",
        _closed_table(plan, results),
        "Only accepted requests count; the percentiles are of all answers.",
        f"![Throughput against p99 latency]({kind}.png)",
        *_ratio_section(plan, results),
        "## Start and memory",
        _start_table(plan, results),
        "Ready: seconds from the start to the first answer. Memory: resident memory of all of a server's "
        "processes after the load; a page that several processes share counts once for each of them.",
        *_open_section(plan, results),
        *_failure_section(results),
    ]
    return "\n\n".join(parts) + "\n"


def _loads(results: Results, server: str, clients: Clients) -> dict[int, ClosedLoad]:
    """The loads of one server with these clients, by round."""
    return {
        figures.round: figures.load
        for figures in results.closed
        if (figures.server, figures.load.clients) == (server, clients)
    }


def _closed_table(plan: Plan, results: Results) -> str:
    rows = []
    for clients in plan.clients:
        for server in plan.servers:
            loads = list(_loads(results, server.name, clients).values())
            if not loads:
                continue
            cpu = [
                figures.cpu_microseconds
                for figures in results.closed
                if (figures.server, figures.load.clients) == (server.name, clients)
            ]
            rows.append(
                (
                    server.name,
                    str(clients),
                    f"{spread([load.requests_per_second for load in loads]):,.0f}",
                    f"{spread([load.p50_ms for load in loads]):,.1f}",
                    f"{spread([load.p99_ms for load in loads]):,.1f}",
                    f"{spread(cpu):,.0f}",
                    f"{sum(load.refusals for load in loads):,}",
                    f"{sum(load.failures for load in loads):,}",
                )
            )
    head = (
        "server",
        "connections",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "CPU µs/request",
        "refused",
        "failed",
    )
    return markdown_table(head, rows)


def _ratio_section(plan: Plan, results: Results) -> list[str]:
    rows = []
    for server in plan.servers:
        cells = []
        for clients in plan.clients:
            ours = _loads(results, OURS, clients)
            theirs = _loads(results, server.name, clients)
            ratios = [
                ours[number].requests_per_second / theirs[number].requests_per_second
                for number in ours.keys() & theirs.keys()
                if theirs[number].requests_per_second
            ]
            cells.append(f"{spread(ratios):.2f}" if ratios else "")
        if server.name != OURS and any(cells):
            rows.append((f"{OURS} / {server.name}", *cells))
    if not rows:
        return []
    head = ("requests/s", *(f"connections: {clients}" for clients in plan.clients))
    return [
        "## The service relative to each peer, in the same round",
        markdown_table(head, rows),
        "Above 1, the service answers more.",
    ]


def _start_table(plan: Plan, results: Results) -> str:
    rows = []
    for server in plan.servers:
        starts = [figures for figures in results.starts if figures.server == server.name]
        if starts:
            ready = spread([figures.ready_seconds for figures in starts])
            memory = spread([figures.resident_bytes / MEGABYTE for figures in starts])
            rows.append((server.name, server.version, f"{ready:.1f}", f"{memory:,.0f}"))
    return markdown_table(("server", "version", "ready s", "memory MB"), rows)


def _open_section(plan: Plan, results: Results) -> list[str]:
    rows = []
    for place, _ in enumerate(plan.rates):
        for server in plan.servers:
            mine = [figures for figures in results.open if figures.server == server.name]
            seen = mine[place :: len(plan.rates)]
            if seen:
                offered = sum(figures.accepted + figures.refused + figures.unanswered for figures in seen)
                rows.append(
                    (
                        server.name,
                        f"{seen[0].rate:,}",
                        _spread_or_none([figures.p50_ms for figures in seen]),
                        _spread_or_none([figures.p99_ms for figures in seen]),
                        _spread_or_none([figures.refusal_p99_ms for figures in seen]),
                        f"{sum(figures.accepted for figures in seen) / offered:.1%}",
                        f"{sum(figures.refused for figures in seen) / offered:.1%}",
                        f"{sum(figures.unanswered for figures in seen) / offered:.1%}",
                    )
                )
    if not rows:
        return []
    head = (
        "server",
        "arriving/s",
        "p50 ms",
        "p99 ms",
        "refusals' p99 ms",
        "accepted",
        "refused",
        "unanswered",
    )
    return [
        "## Open loop: requests arrive at a fixed rate",
        markdown_table(head, rows),
        "Latency counts from the planned arrival of a request. p50 and p99 are of accepted requests.",
    ]


def _spread_or_none(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{spread(known):,.1f}" if known else "none"


def _failure_section(results: Results) -> list[str]:
    if not results.failures:
        return []
    places: dict[tuple[str, str], list[str]] = {}
    for failure in results.failures:
        places.setdefault((failure.server, failure.reason), []).append(
            f"{failure.stage}, round {failure.round}"
        )
    rows = [
        (server, "; ".join(where), reason.replace("|", "\\|")) for (server, reason), where in places.items()
    ]
    return ["## Not measured", markdown_table(("server", "where", "reason"), rows)]


def _plot(path: Path, kind: str, plan: Plan, results: Results) -> None:
    """Plot throughput against p99 latency: a line per server, a point per number of connections."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 6), layout="constrained")
    for server in plan.servers:
        points = []
        for clients in plan.clients:
            loads = _loads(results, server.name, clients).values()
            if loads and clients.keep_connections:
                rate = statistics.median(load.requests_per_second for load in loads)
                points.append((rate, statistics.median(load.p99_ms for load in loads), clients.count))
        if points:
            rates, latencies, _ = zip(*points, strict=True)
            axes.plot(rates, latencies, marker="o", label=server.name)
            for rate, latency, connections in points:
                axes.annotate(str(connections), (rate, latency), (4, 4), textcoords="offset points")
    axes.set(
        xlabel="requests per second", ylabel="p99 latency, ms", yscale="log", title=f"{kind}, by connections"
    )
    axes.set_xlim(left=0)
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)
