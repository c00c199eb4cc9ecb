"""BentoML's own batching across callers, as it comes."""

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
        """Classify the texts of many callers."""
        return self._answers(texts)
