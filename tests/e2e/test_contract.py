"""The running server against its own OpenAPI document, with requests that schemathesis generates."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from server_process import Server
from several_service import running_several

EXAMPLES = 40
"""Generated requests per operation, in addition to the requests that test each limit."""


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose model gives a text several labels, or none."""
    with running_several(tmp_path_factory.mktemp("several")) as server:
        yield server


@pytest.mark.parametrize("kind", ["server", "several"])
def test_the_server_conforms_to_its_openapi_document(
    request: pytest.FixtureRequest, kind: str, tmp_path: Path
) -> None:
    server: Server = request.getfixturevalue(kind)
    # schemathesis gets the document as a file; if it read it from the server, it would not test that route.
    schema = tmp_path / "openapi.json"
    schema.write_text(httpx.get(f"{server.url}/openapi.json").text)
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "schemathesis"),
            "run",
            str(schema),
            *("--url", server.url),
            *("--checks", "all"),
            *("--max-examples", str(EXAMPLES)),
            *("--seed", "1"),
            "--generation-deterministic",
            "--continue-on-failure",
            "--no-color",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    operations = sum(len(item) for item in json.loads(schema.read_text())["paths"].values())
    assert f"Tested: {operations}\n" in done.stdout, done.stdout
