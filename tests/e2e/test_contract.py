"""The running server against its own OpenAPI document, with requests that schemathesis generates."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

EXAMPLES = 40
"""Generated requests per operation, in addition to the requests that test each limit."""


def test_the_server_conforms_to_its_openapi_document(server: Any, tmp_path: Path) -> None:
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
