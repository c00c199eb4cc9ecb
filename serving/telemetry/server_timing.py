"""The header Server-Timing, which browsers and proxies show: where the time of an answer went."""

import time

from serving.telemetry.exchange import Exchange

HEADER = b"server-timing"


def server_timing(exchange: Exchange) -> bytes:
    """The value of the header: milliseconds in the queue, for tokens, in the model, and in all until now.

    The times of tokens and model are those of whole batches, which an answer shares with others.
    """
    total = 1000 * (time.perf_counter() - exchange.begin)
    batches = exchange.batches
    if not batches or exchange.queued_at is None:
        return b"total;dur=%.3f" % total
    return b"queue;dur=%.3f, tokens;dur=%.3f, model;dur=%.3f, total;dur=%.3f" % (
        1000 * (batches[0].begin - exchange.queued_at),
        1000 * sum([batch.tokenization_seconds for batch in batches]),
        1000 * sum([batch.inference_seconds for batch in batches]),
        total,
    )
