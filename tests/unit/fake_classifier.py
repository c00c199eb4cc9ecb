"""A real HTTP server that answers as the service does, or as a test wants it to."""

import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from classifier.schema import PredictionAnswer

LABELS = ["negative", "positive"]


@dataclass(frozen=True)
class Reply:
    """An answer; without a body, the connection is reset instead."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)


RESET = Reply()


def problem(status: int, detail: str, errors: Sequence[object] = (), **headers: str) -> Reply:
    """A problem document, as the service writes it."""
    body = {"type": "about:blank", "title": "Problem", "status": status, "detail": detail}
    more = {"errors": errors} if errors else {}
    return Reply(status, body | more, {name.replace("_", "-"): value for name, value in headers.items()})


def prediction(text: str) -> PredictionAnswer:
    """A text with "good" in it is positive; the confidence is different for each length."""
    confidence = round(0.5 + len(text) % 50 / 100, 2)
    label = "positive" if "good" in text else "negative"
    other = "negative" if label == "positive" else "positive"
    return {
        "text": text,
        "predicted_class": LABELS.index(label),
        "label": label,
        "confidence": confidence,
        "is_confident": True,
        "probabilities": {label: confidence, other: round(1 - confidence, 2)},
    }


def predictions(texts: Sequence[str]) -> Reply:
    """What the service answers if nothing is wrong."""
    return Reply(body={"predictions": [prediction(text) for text in texts], "total_processed": len(texts)})


MODEL = Reply(
    body={
        "model_type": "linear",
        "num_classes": 2,
        "classes": LABELS,
        "device": "cpu",
        "max_input_length": 2000,
        "name": "fake",
        "version": "1",
        "digest": "0" * 64,
        "threshold": 0.5,
        "trained_on": None,
        "metrics": {},
    }
)


class FakeClassifier:
    """What the server answers, and what it was asked."""

    def __init__(self) -> None:
        self.answer: Callable[[list[str]], Reply] = predictions
        """Returns the answer to a batch; it may wait."""
        self.describe: Callable[[], Reply] = lambda: MODEL
        """Returns the answer to the question for the model."""
        self.url = ""
        self.batches: list[list[str]] = []
        """The texts of all requests, in the order of their arrival."""
        self.keys: set[str | None] = set()
        """The values of the header `authorization`."""
        self.most_in_flight = 0
        self._in_flight = 0
        self._lock = threading.Lock()

    @property
    def sent(self) -> Counter[str]:
        """How often each text was sent."""
        return Counter(text for batch in self.batches for text in batch)

    def reply(self, texts: list[str] | None) -> Reply:
        """Answer a request; None is the question for the model."""
        if texts is None:
            return self.describe()
        with self._lock:
            self.batches.append(texts)
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            return self.answer(texts)
        finally:
            with self._lock:
                self._in_flight -= 1


@contextmanager
def fake_classifier(port: int = 0) -> Iterator[FakeClassifier]:
    """Serve on a free port until the end."""
    fake = FakeClassifier()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._reply(fake.reply(None))

        def do_POST(self) -> None:
            fake.keys.add(self.headers["authorization"])
            content = self.rfile.read(int(self.headers["content-length"]))
            self._reply(fake.reply(json.loads(content)["texts"]))

        def _reply(self, reply: Reply) -> None:
            if reply is RESET:
                # A socket that lingers for no time is closed with a reset.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
                return
            content = json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"content-length": str(len(content)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: object) -> None:
            """A client that has gone is no error of the test."""

    server = Server(("127.0.0.1", port), Handler)
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
