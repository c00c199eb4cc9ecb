"""A service whose every string is markup that would load something from another host, or run."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

OTHER_HOST = "http://other.test:8123"


def markup(name: str) -> str:
    """Markdown and HTML; a request for `name` at the other host shows where it was taken for markup."""
    return (
        f"`![{name}]({OTHER_HOST}/{name}.png) <img src={OTHER_HOST}/{name}.gif onerror=alert(1)> "
        f"$\\includegraphics{{{OTHER_HOST}/{name}.svg}}$ <script>alert(1)</script> ![{name}][r]"
    )


LABELS = [markup("first"), markup("second")]
CARD = (
    f"# Card\n{markup('card')}\n\n\\![a]({OTHER_HOST}/b.png)\n\n[r]: {OTHER_HOST}/r.png\n\n"
    f"<style>@import '{OTHER_HOST}/s';</style>"
)


def prediction(text: str) -> dict[str, object]:
    """The answer to one text."""
    return {
        "text": text,
        "predicted_class": 0,
        "label": LABELS[0],
        "confidence": 0.7,
        "is_confident": False,
        "probabilities": dict(zip(LABELS, (0.7, 0.3), strict=True)),
        "warnings": [markup("warning")],
        "final_prediction": markup("final"),
        "reason": markup("reason"),
    }


def explanation(text: str) -> dict[str, object]:
    """The explanation of one text."""
    return prediction(text) | {
        "explained_label": LABELS[0],
        "compared_with": LABELS[1],
        "method": "exact",
        "unit": "word",
        "score": 1.0,
        "bias": 0.5,
        "contributions": [{"text": markup("part"), "places": [[0, 4]], "contribution": 0.5}],
        "remainder": {"count": 0, "contribution": 0.0},
        "interaction": 0.0,
        "words": [{"start": 0, "end": 4, "share": 0.5}],
        "calibration": {"scale": 1.0, "bias": 0.0},
    }


MODEL = {
    "model_type": markup("type"),
    "num_classes": 2,
    "classes": LABELS,
    "device": markup("device"),
    "max_input_length": 2000,
    "name": markup("name"),
    "version": markup("version"),
    "digest": markup("digest"),
    "threshold": 0.5,
    "trained_on": {"name": markup("data"), "sha256": markup("sha"), "rows": 1},
    "metrics": {},
}
FEATURE = {
    "feature": "label",
    "alarm": True,
    "psi": 0.1,
    "test": markup("test"),
    "statistic": 0.1,
    "p_value": 0.1,
    "bins": [{"bin": markup("bin"), "reference": 0.5, "window": 0.5}],
}
SEVERAL: Mapping[str, object] = {
    "labels": LABELS,
    "thresholds": dict(zip(LABELS, (0.5, 0.2), strict=True)),
}
"""What answers and the description of a model have besides, if a text can have several labels."""

PAGES: Mapping[str, object] = {
    "/": {"name": markup("service"), "version": "1", "status": markup("status"), "endpoints": {}},
    "/health": {"status": markup("health"), "model_loaded": True, "device": markup("device")},
    "/model/info": MODEL,
    "/model/drift": {"status": markup("drift"), "texts": 1, "reference_texts": 1, "features": [FEATURE]},
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    more: Mapping[str, object] = {}
    """Fields that each answer and the description of the model have besides."""

    def do_GET(self) -> None:
        found = PAGES.get(self.path)
        if self.path == "/model/info":
            found = {**MODEL, **self.more}
        self._answer(json.dumps(found) if found else CARD if "card" in self.path else "")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if "texts" in body:
            predictions = [prediction(text) | self.more for text in body["texts"]]
            self._answer(json.dumps({"predictions": predictions, "total_processed": len(predictions)}))
        elif body["text"] == "refused":
            problem = {"type": "about:blank", "title": "No", "status": 422, "detail": markup("detail")}
            self._answer(json.dumps(problem), 422)
        else:
            answer = (explanation if "explain" in self.path else prediction)(body["text"])
            self._answer(json.dumps(answer | self.more))

    def _answer(self, content: str, status: int = 200) -> None:
        encoded = content.encode()
        self.send_response(status)
        self.send_header("content-length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, *_: object) -> None:
        pass


class _SeveralHandler(_Handler):
    more = SEVERAL


@contextmanager
def hostile_service(*, has_several_labels: bool = False) -> Iterator[str]:
    """Serve on a free port until the end; gives the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _SeveralHandler if has_several_labels else _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
