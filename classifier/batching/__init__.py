"""Bounded, adaptive micro-batching on asyncio: the texts of many clients in one run of the model.

A text's way: `admission` decides whether its request is admitted, `queue` holds it until its turn, `cost`
predicts how large the next batch may be, and `batcher` runs the batch and hands each client its outcomes.

These are the laws that the tests check:

1. Nothing waits while the model is idle: a text that arrives then runs in the next turn of the event loop.
2. A batch is one text, or its predicted time is within its limit. The cost of a byte is learned from past
   batches, but it is never predicted to be less than the calibration texts cost. No batch is more than twice
   as large as the largest one before it, whatever the prediction says.
3. Every text gets exactly one outcome, its own result or its own error, in its client's order.
4. A run that fails, or returns another number of results than texts, is repeated in halves, so that only the
   text at fault fails.
5. The waiting texts and characters stay within their bounds. A request is refused at once when it would pass
   a bound, or when the queue would take longer than its limit at the pace of the last batches.
6. A text that has waited until its deadline is not run.
7. Clients take turns: after a few texts of one client, the other clients' texts come first.
8. When a client disconnects, its waiting texts leave the queue.
9. Once admission is closed, new requests are refused, and those that were admitted are finished while the
   time for draining lasts.
"""
