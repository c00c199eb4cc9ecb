"""Commands that measure the service, its peers and the runtimes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cli.console import new_app

AG_NEWS = Path("../shared/data/agnews")

app = new_app()
bench = new_app()
app.add_typer(
    bench, name="bench", help="Measure the service and its peers under load, and the runtimes alone."
)

Artifact = Annotated[str, typer.Option(help="Artifact to serve: linear, cnn, transformer, transformer-int8.")]


@bench.callback(epilog="Example: `text-classifier bench servers --artifact linear --servers service,fastapi`")
def _bench() -> None: ...


@contextmanager
def _wrong_usage() -> Iterator[None]:
    """Report an option that the benchmarks refuse as wrong usage."""
    from benchmarks.errors import WrongOption

    try:
        yield
    except WrongOption as error:
        raise typer.BadParameter(str(error)) from error


@bench.command(epilog="Example: `text-classifier bench servers --artifact linear --servers service,fastapi`")
def servers(
    artifact: Annotated[
        str,
        typer.Option(
            help="Artifacts to serve: linear, cnn, transformer, transformer-int8.", show_default=False
        ),
    ],
    servers: Annotated[
        str | None, typer.Option(help="Comma-separated names of servers. Default: all.", show_default=False)
    ] = None,
    connections: Annotated[
        str,
        typer.Option(help="Closed loop: 64 for kept connections, or 64new for one connection per request."),
    ] = "1,16,64,256,64new",
    rounds: Annotated[int, typer.Option(min=1, help="How many times each server is measured.")] = 3,
    seconds: Annotated[float, typer.Option(min=1, help="Length of each load.")] = 5,
    rates: Annotated[
        str,
        typer.Option(help="Open loop: 500 per second, or 0.8x of FastAPI's rate at 64 connections."),
    ] = "0.5x,0.8x",
    output: Annotated[Path, typer.Option(help="Folder for the reports.")] = Path("reports/bench"),
) -> None:
    """Compare the service with its peers under load. `make bench` installs the peers first."""
    from benchmarks.comparison import compare

    with _wrong_usage():
        compare(artifact, servers, connections, rates, rounds, seconds, output)


@bench.command(epilog="Example: `text-classifier bench limits --artifact linear --factors 2,5 --seconds 60`")
def limits(
    artifact: Artifact = "linear",
    factors: Annotated[
        str, typer.Option(help="Overload: comma-separated multiples of the capacity.")
    ] = "2,5",
    seconds: Annotated[float, typer.Option(min=1, help="Length of each overload.")] = 60,
    requests: Annotated[int, typer.Option(min=2, help="Requests in the endurance test.")] = 1_000_000,
    output: Annotated[Path, typer.Option(help="Folder for the report.")] = Path("reports/limits"),
) -> None:
    """Measure the service alone: under overload, in batches, and over many requests."""
    from benchmarks.limits import measure_limits

    with _wrong_usage():
        measure_limits(artifact, factors, seconds, requests, output)


@bench.command(epilog="Example: `text-classifier bench runtimes --json reports/runtime_speed.json`")
def runtimes(
    data: Annotated[
        Path | None,
        typer.Option(help="Labelled texts to fit on. Default: IMDB's training part.", show_default=False),
    ] = None,
    texts: Annotated[
        Path | None, typer.Option(help="Texts to time. Default: IMDB's test part.", show_default=False)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Tag of a network. Default: a network trained for this.", show_default=False),
    ] = None,
    count: Annotated[int, typer.Option(min=32, help="Number of texts to time.")] = 512,
    rounds: Annotated[int, typer.Option(min=1, help="How many times each pair is measured.")] = 7,
    network_rows: Annotated[
        int, typer.Option(min=100, help="Number of texts that a network is trained on.")
    ] = 2000,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="File for the figures.", show_default=False)
    ] = None,
) -> None:
    """Compare the runtimes with scikit-learn and ONNX Runtime, in microseconds per text."""
    from benchmarks.runtime_speed import measure_runtimes

    with _wrong_usage():
        measure_runtimes(data, texts, model, count, rounds, network_rows, json_file)


@bench.command(epilog="Example: `text-classifier bench explanations --rounds 7`")
def explanations(
    artifact: Artifact = "linear",
    rounds: Annotated[int, typer.Option(min=1, help="How many times both routes are measured.")] = 5,
    seconds: Annotated[float, typer.Option(min=1, help="Length of each load.")] = 3,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="File for the figures.", show_default=False)
    ] = None,
) -> None:
    """Measure what `/predict/explain` costs next to `/predict`, at 64 connections."""
    from benchmarks.explanations import measure_explanations

    with _wrong_usage():
        measure_explanations(artifact, rounds, seconds, json_file)


@bench.command("bare-network", epilog="Example: `text-classifier bench bare-network --artifact transformer`")
def bare_network(
    artifact: Annotated[
        str, typer.Option(help="Artifacts to serve: transformer, transformer-int8.")
    ] = "transformer,transformer-int8",
    rounds: Annotated[int, typer.Option(min=1, help="How many times each is measured.")] = 5,
    seconds: Annotated[float, typer.Option(min=1, help="Length of each load.")] = 10,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="File for the figures.", show_default=False)
    ] = None,
) -> None:
    """Compare a transformer behind the service with ONNX Runtime alone, on texts that are ready for it."""
    from benchmarks.bare_network import measure_bare_network

    with _wrong_usage():
        measure_bare_network(artifact, rounds, seconds, json_file)


@bench.command("web-client", epilog="Example: `text-classifier bench web-client --rounds 5`")
def web_client(
    rounds: Annotated[int, typer.Option(min=1, help="How many times a job is compared.")] = 5,
    large_rows: Annotated[int, typer.Option(min=1000, help="Rows of the large job.")] = 100_000,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="File for the figures.", show_default=False)
    ] = None,
) -> None:
    """Measure the web client: jobs next to a bare client, pages, clicks, memory. It needs Chromium."""
    from benchmarks.web_client import measure_web_client

    with _wrong_usage():
        measure_web_client(rounds, large_rows, json_file)


@bench.command("few-examples", epilog="Example: `text-classifier bench few-examples --encoder MiniLM`")
def few_examples(
    encoder: Annotated[
        Path, typer.Option(help="Folder with a sentence encoder.", metavar="FOLDER", show_default=False)
    ],
    data: Annotated[Path, typer.Option(help="Labelled texts to draw the examples from.")] = AG_NEWS
    / "train.parquet",
    test: Annotated[Path, typer.Option(help="Labelled texts to test with.")] = AG_NEWS / "test.parquet",
    examples: Annotated[
        str, typer.Option(help="Comma-separated numbers of examples of a class.")
    ] = "8,32,128,1000",
    seeds: Annotated[int, typer.Option(min=1, help="How many samples are drawn of each size.")] = 5,
    tested: Annotated[int, typer.Option(min=100, help="Number of test texts.")] = 2000,
    output: Annotated[Path, typer.Option(help="File for the table.")] = Path("reports/few_examples.md"),
) -> None:
    """Compare a model with a sentence encoder with the other kinds, by how many examples a class has."""
    from benchmarks.few_examples import measure_few_examples

    with _wrong_usage():
        measure_few_examples(encoder, data, test, examples, seeds, tested, output)
