"""BentoML's own batching across clients, with its default settings."""

import bentoml

from benchmarks.peers.pipeline import HOST, load_answers, port
from classifier.schema import PredictionAnswer


@bentoml.service(http={"host": HOST, "port": port()})
class Peer:
    """Classifies texts."""

    def __init__(self) -> None:
        self._answers = load_answers()

    @bentoml.api(batchable=True)
    def predict(self, texts: list[str]) -> list[PredictionAnswer]:
        """Classify the texts of many clients."""
        return self._answers(texts)
