"""Lets another BentoML service use this one as a dependency: `bentoml.depends(TextClassifier)`.

BentoML's proxy of a dependency sends and reads pickles. This service reads no pickle, because one can run any
code. So the proxy of this service speaks JSON, as BentoML's proxy does for `bentoml.depends(url=…)`.
"""

from typing import Any

import attrs
import bentoml

from serving.routes import JSON


def install(name: str) -> None:
    """Make dependencies on the service with this name use JSON. Those on other services stay as they are.

    BentoML looks its proxy up in a module each time that a worker resolves a dependency.
    """
    if bentoml.server_context.worker_index is None:
        return
    from _bentoml_impl import client  # type: ignore[import-untyped]  # The import takes 0.1 s, which only workers need.

    class Proxy(client.RemoteProxy):  # type: ignore[misc]
        """BentoML's proxy, which speaks JSON to one service."""

        def __init__(self, url: str, *, service: bentoml.Service[Any] | None = None, **options: Any) -> None:
            if service is None or service.name != name:
                super().__init__(url, service=service, **options)
                return
            super().__init__(url, service=service, **options | {"media_type": JSON})
            # Without BentoML's types, requests and answers are those that /schema.json describes.
            endpoints = self._async.endpoints
            for endpoint in list(endpoints.values()):
                endpoints[endpoint.name] = attrs.evolve(endpoint, input_spec=None, output_spec=None)

    client.RemoteProxy = Proxy
