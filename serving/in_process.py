"""Runs texts for Python code that calls the service in its own process."""

import asyncio
from collections.abc import Callable, MutableMapping
from dataclasses import replace
from weakref import WeakKeyDictionary

from classifier.batching.admission import Admission, Stage
from classifier.batching.batcher import Batcher
from classifier.batching.queue import FinishedBatch
from classifier.pipeline import Classifier, Prediction
from classifier.settings import Settings
from serving.running import RunningService


def new_batcher(
    classifier: Classifier,
    settings: Settings,
    admission: Admission,
    observe: Callable[[FinishedBatch[Prediction]], None] | None = None,
) -> Batcher[Prediction]:
    """A batcher that runs the classifier, and shows each batch to `observe`."""
    return Batcher(
        classifier.predict,
        classifier.cost,
        classifier.releases_gil,
        settings.batching,
        admission,
        observe=observe,
    )


class InProcess:
    """The service in each event loop that calls it, because a batcher belongs to one loop."""

    def __init__(self, running: RunningService) -> None:
        """`running` is the service of the server, whose batcher is not used here."""
        self._running = running
        self._by_loop: MutableMapping[asyncio.AbstractEventLoop, RunningService] = WeakKeyDictionary()

    def here(self) -> RunningService:
        """The service in the running event loop."""
        loop = asyncio.get_running_loop()
        found = self._by_loop.get(loop)
        if found is None:
            admission = Admission(self._running.settings.batching, Stage.OPEN)
            batcher = new_batcher(self._running.classifier, self._running.settings, admission)
            connections = replace(self._running.connections, admission=admission)
            found = self._by_loop[loop] = replace(self._running, batcher=batcher, connections=connections)
        return found
