"""`text-classifier audit` against a local vulnerability service with OSV's API."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any


@contextmanager
def service(answer: Callable[[str], Any], asked: set[str]) -> Iterator[str]:
    """Run a service that answers each name with `answer` and adds the package to `asked`; yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["content-length"])))
            name = query["package"]["name"]
            asked.add(f"{name} {query['version']}")
            content = json.dumps(answer(name)).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        server.server_close()


def audit(project: Path, url: str, cache: Path) -> subprocess.CompletedProcess[str]:
    variables = {
        "PIP_AUDIT_VULNERABILITY_SERVICE": "osv",
        "PIP_AUDIT_OSV_URL": url,
        "XDG_CACHE_HOME": str(cache),
        "NO_PROXY": "127.0.0.1",
    }
    return subprocess.run(
        [sys.executable, "-m", "cli", "audit"],
        cwd=project,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def flaw(name: str) -> dict[str, Any]:
    return {"vulns": [{"id": "TEST-1", "affected": [{"package": {"name": name, "ecosystem": "PyPI"}}]}]}


def test_packages_without_known_vulnerabilities_pass_and_are_counted(project: Path, tmp_path: Path) -> None:
    asked: set[str] = set()
    with service(lambda _: {}, asked) as url:
        done = audit(project, url, tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(asked) > 70
    assert done.stdout == f"{len(asked)} packages audited, no known vulnerability\n"


def test_the_audit_fails_and_names_a_vulnerable_package(project: Path, tmp_path: Path) -> None:
    asked: set[str] = set()
    with service(lambda name: flaw(name) if name == "numpy" else {}, asked) as url:
        done = audit(project, url, tmp_path)
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first == f"error: of {len(asked)} packages audited, 1 are vulnerable:"
    assert second.startswith("numpy ")
    assert second.endswith(": TEST-1")


def test_an_audit_without_a_reachable_service_fails_and_says_that_nothing_was_audited(
    project: Path, tmp_path: Path
) -> None:
    with service(lambda _: {}, set()) as url:
        pass
    done = audit(project, url, tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: the packages of serve.txt were not audited; pip-audit ended with 1: ")
    assert "Traceback" not in done.stdout
