"""README.md and docs/ are correct: requests get the answers shown, code runs, commands and paths exist."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.routes import ROUTES

ROOT = Path(__file__).parent.parent.parent
API = ROOT / "docs" / "api.md"
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
MEBIBYTE = 2**20
OFF_BY_DEFAULT = {("POST", "/feedback")}
CLIENT_ERRORS = {400, 404, 405, 413, 415, 422, 504}

NUMBER_TOLERANCE = 1e-6
README_TOLERANCE = 6e-5
"""README's probabilities have four digits."""

ANY = "<any>"
CUT = "…"


@dataclass(frozen=True)
class Example:
    """A request of docs/api.md and the answer below it."""

    line: int
    method: str
    target: str
    headers: Mapping[str, str]
    body: str
    status: int
    answer_headers: Mapping[str, str]
    answer_body: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.method} {self.target} {self.status}"

    @property
    def content(self) -> bytes:
        """The body to send; `<3 MiB>` in the page means that many spaces."""
        size = re.fullmatch(r"<(\d+) MiB>", self.body)
        return b" " * (int(size[1]) * MEBIBYTE) if size else self.body.encode()


def _message(block: str) -> tuple[str, dict[str, str], str]:
    """Split a block into its first line, its headers and its body."""
    head, _, body = block.partition("\n\n")
    first, *headers = head.splitlines()
    parts = (line.partition(":") for line in headers)
    return first, {name.lower(): value.strip() for name, _, value in parts}, body.strip()


def _examples(page: str) -> list[Example]:
    blocks = list(re.finditer(r"^```http\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    examples = []
    for asked, answered in zip(blocks[::2], blocks[1::2], strict=True):
        first, headers, body = _message(asked[1])
        method, target = first.split(" ")
        status, answer_headers, answer_body = _message(answered[1])
        line = page.count("\n", 0, asked.start()) + 1
        examples.append(
            Example(line, method, target, headers, body, int(status), answer_headers, answer_body)
        )
    return examples


EXAMPLES = _examples(API.read_text(encoding="utf-8")) if API.exists() else []


def agrees(shown: Any, got: Any, tolerance: float = NUMBER_TOLERANCE) -> bool:
    """Whether an answer matches the page; "<any>" matches anything, and "…" the rest of a string."""
    if shown == ANY:
        return True
    if isinstance(shown, dict):
        return (
            isinstance(got, dict)
            and list(shown) == list(got)
            and all(agrees(shown[name], got[name], tolerance) for name in shown)
        )
    if isinstance(shown, list):
        return (
            isinstance(got, list)
            and len(shown) == len(got)
            and all(agrees(a, b, tolerance) for a, b in zip(shown, got, strict=True))
        )
    if isinstance(shown, float) and isinstance(got, float):
        return abs(shown - got) <= tolerance
    if isinstance(shown, str) and shown.endswith(CUT):
        return isinstance(got, str) and got.startswith(shown[:-1])
    return type(shown) is type(got) and bool(shown == got)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_a_request_on_the_api_page_gets_the_answer_below_it(server: Any, example: Example) -> None:
    got = httpx.request(
        example.method,
        server.url + example.target,
        content=example.content,
        headers=dict(example.headers),
        timeout=30,
    )
    assert got.status_code == example.status
    assert "content-type" in example.answer_headers
    assert {name: got.headers.get(name) for name in example.answer_headers} == example.answer_headers
    if "json" in example.answer_headers["content-type"]:
        assert agrees(json.loads(example.answer_body), got.json()), json.dumps(got.json(), indent=2)
    else:
        assert agrees(example.answer_body, got.text.strip())


def test_the_api_page_shows_every_route() -> None:
    shown = {
        (example.method, example.target.partition("?")[0]) for example in EXAMPLES if example.status == 200
    }
    assert shown | OFF_BY_DEFAULT == {(route.method, route.path) for route in ROUTES}


def test_the_api_page_shows_what_a_route_answers_that_is_off_by_default() -> None:
    refused = {(example.method, example.target) for example in EXAMPLES if "is off" in example.answer_body}
    assert refused == OFF_BY_DEFAULT


def test_the_api_page_shows_every_client_error() -> None:
    assert {example.status for example in EXAMPLES} - {200} == CLIENT_ERRORS


def test_the_readme_lists_every_route() -> None:
    listed = re.findall(r"^\| `([A-Z]+) ([^`?]*)[^`]*` \|", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted((route.method, route.path) for route in ROUTES)


def test_the_requests_in_the_readme_get_the_answers_below_them(server: Any) -> None:
    pairs = re.findall(
        r"curl -s http://127\.0\.0\.1:3000(\S+)[^`]*?-d '([^']*)'\s+```json\n(.*?)```",
        README.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert pairs
    for path, body, shown in pairs:
        got = httpx.post(
            server.url + path, content=body.encode(), headers={"content-type": "application/json"}
        ).json()
        assert agrees(json.loads(shown), got, README_TOLERANCE), got


def test_the_python_code_in_the_readme_runs(server: Any) -> None:
    page = README.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks).replace("http://127.0.0.1:3000", server.url)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    without_server, *with_server = done.stdout.split("{", 1)
    assert without_server.splitlines() == ["positive 0.9933", "negative 0.8579"], done.stdout
    assert "'label': 'negative'" in with_server[0]
    assert "'top_predictions'" in with_server[0]


def test_every_make_command_names_a_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    commands = {
        target
        for page in PAGES
        for target in re.findall(
            r"(?:^ {4}|`|^)(?:[A-Z_]+=\S+ )*make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert {"serve", "test"} <= commands
    assert commands - targets == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_resolves(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    local = {target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:", target)} - {""}
    assert {target for target in local if not (page.parent / target).exists()} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_mentioned_path_of_the_project_exists(page: Path) -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    folders = {path.partition("/")[0] for path in tracked.stdout.split() if "/" in path}
    named = re.findall(r"`([\w-]+)(/[\w./-]*)`", page.read_text(encoding="utf-8"))
    missing = {
        first + rest for first, rest in named if first in folders and not (ROOT / (first + rest)).exists()
    }
    assert missing == set()
