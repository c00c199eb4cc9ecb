"""BentoML's own clients behind a proxy that routes only what the rendered entry points route."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import bentoml
import httpx
import pytest
import yaml
from bentoml.exceptions import BentoMLException, ServiceUnavailable
from path_rules import Rules, routes, rules_of

from k8s.environment.loading import load_environment
from k8s.rendering import render

TEXT = "A moving, beautifully acted film."

Behind = Callable[[bool], AbstractContextManager[str]]


def rules(bentoml_clients: bool) -> Rules:
    overrides = {"gateway": {"bentoml_clients": bentoml_clients}}
    files = render(load_environment("production", overrides), "text-classifier manifests")
    return rules_of({name.removesuffix(".yaml"): yaml.safe_load(text) for name, text in files.items()})


@pytest.fixture
def behind(server: Any) -> Behind:
    """The address of a proxy in front of the server, with or without `bentoml_clients`."""

    @contextmanager
    def proxy(bentoml_clients: bool) -> Iterator[str]:
        routed = rules(bentoml_clients)

        class Proxy(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if not routes(routed, urlsplit(self.path).path):
                    self.send_error(404)
                    return
                headers = {"content-type": self.headers.get("content-type", "application/json")}
                got = httpx.request(self.command, f"{server.url}{self.path}", content=body, headers=headers)
                self.send_response(got.status_code)
                self.send_header("content-type", got.headers["content-type"])
                self.send_header("content-length", str(len(got.content)))
                self.end_headers()
                self.wfile.write(got.content)

            do_GET = do_POST = answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as listening:
            thread = threading.Thread(target=listening.serve_forever)
            thread.start()
            try:
                yield f"http://127.0.0.1:{listening.server_port}"
            finally:
                listening.shutdown()
                thread.join()

    return proxy


def test_bentomls_clients_work_through_an_entry_point_with_their_setting(behind: Behind) -> None:
    with behind(True) as url, bentoml.SyncHTTPClient(url) as client:
        assert client.predict(text=TEXT)["label"] == "positive"
        assert client.classify(texts=[TEXT])[0]["label"] == "positive"


def test_without_the_setting_they_fail_and_other_clients_do_not(behind: Behind) -> None:
    with behind(False) as url:
        with pytest.raises(ServiceUnavailable, match="Server is not ready"):
            bentoml.SyncHTTPClient(url, timeout=1)
        with pytest.raises(BentoMLException, match=r"Failed to fetch schema from .*/schema\.json"):
            bentoml.SyncHTTPClient(url, server_ready_timeout=0)
        assert httpx.post(f"{url}/predict", json={"text": TEXT}).json()["label"] == "positive"
