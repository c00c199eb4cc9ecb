"""The header Server-Timing, which browsers and proxies show: where the time of an answer went."""

import time

from serving.telemetry.exchange import Exchange

HEADER = b"server-timing"


def server_timing(exchange: Exchange) -> bytes:
    """The value of the header: milliseconds in the queue, for tokens, in the model, and in all until now.

    The times of tokens and model are those of whole batches, which an answer shares with others.
    """
    phases = {
        "queue": exchange.queue_seconds,
        "tokens": exchange.tokenization_seconds,
        "model": exchange.inference_seconds,
        "total": time.perf_counter() - exchange.begin,
    }
    known = [f"{name};dur={1000 * seconds:.3f}" for name, seconds in phases.items() if seconds is not None]
    return ", ".join(known).encode()
