# ruff: noqa: E501 - tables of inputs are easier to read with several entries per line
"""The protocol answers exactly the requests that a strict reader finds, however the stream is split."""

import asyncio
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

import pytest
from connection import converse, identity
from fuzzing import Fuzz
from recording import recorder
from reference import Asked, Reading, Stop, read

from classifier.batching.admission import Admission, Stage
from classifier.settings import ApiSettings, BatchingSettings
from serving.request.budget import ByteBudget
from serving.routes import ROUTES
from serving.running import ConnectionContext

GUARDED = {route.path for route in ROUTES if route.is_for_model}
AMPLE, TIGHT = 2**26, 9000
"""Limits of the byte budget. No stream here reaches the first; two requests reach the second."""

_RUN = re.compile(r"([a-z])\1{30,}")


@dataclass(frozen=True, repr=False)
class Conversation:
    """What a client sends in segments that end at the cuts, and the state of the service."""

    content: bytes
    cuts: tuple[int, ...]
    ends_its_side: bool
    admission: str
    budget: int

    @property
    def segments(self) -> list[bytes]:
        places = zip([0, *self.cuts], [*self.cuts, len(self.content)], strict=True)
        return [segment for begin, end in places if (segment := self.content[begin:end])]

    def __repr__(self) -> str:
        sent = [_RUN.sub(lambda run: f"<{run[1]} {len(run[0])} times>", repr(each)) for each in self.segments]
        ending = ", then the client ends its side" if self.ends_its_side else ""
        return f"{' | '.join(sent)}{ending}; admission is {self.admission}, the budget {self.budget} bytes"


# Requests

METHODS = [
    "POST",
    "POST",
    "POST",
    "GET",
    "HEAD",
    "OPTIONS",
    "PUT",
    "TRACE",
    "CONNECT",
    "PRI",
    "post",
    "M-SEARCH",
    "",
]
TARGETS = [
    "/predict", "/predict", "/a", "/slow", "/unread", "/unread", "/predict/top-k?k=3", "/a?", "//a", "/a%2f", "/docs/../predict",
    "*", "http://x/a", "/a#b", "/a b", "/\xe9", "/\x01", "a", "", "/?a=b&c", "/%", "/a\\b", "/" + "a" * 5000,
]  # fmt: skip
VERSIONS = ["HTTP/1.1"] * 8 + [
    "HTTP/1.0",
    "HTTP/1.0",
    "HTTP/1.2",
    "HTTP/2.0",
    "HTTP/0.9",
    "HTTP/1.10",
    "HTTP/11",
    "http/1.1",
    "",
]
ENDS = [b"\r\n"] * 40 + [b"\n", b"\r", b"\r\r\n", b"\r\n ", b"\n\r\n", b""]
HOSTS = [b"host: x"] * 12 + [
    b"Host: x:80", b"host:", b"host: a, b", b"host: a/b", b"HOST:x ", b"host : x", b"host: x\r\nhost: x", b"x-a: b",
    b"host: [::1]", b" host: x", b"host\x00: x", b"host: \xe9",
]  # fmt: skip
FIELDS = [
    b"x-a: b", b"x-a:", b"x-a: \xe9\t ", b"connection: keep-alive", b"connection: close", b"Connection: keep-alive, Upgrade",
    b"upgrade: h2c", b"upgrade: websocket", b"connection: upgrade\r\nupgrade: h2c", b"connection: upgrade\r\nupgrade:",
    b"connection: upgrade, close\r\nupgrade: a", b"expect: 100-continue", b"expect: 200-ok", b"x-a : b", b": b", b"x-a",
    b"x-a: b\r\n c", b"x-a: b\x00", b"x-a: b\rcontent-length: 3", b"x\xe9: a", b"x-a: b\x7f", b"content-type: application/json",
    b"content-length: 0", b"content-length: 3", b"transfer-encoding: chunked", b"transfer-encoding: identity", b"te: chunked",
    b"proxy-connection: keep-alive", b"content-encoding: gzip", b"x: " + b"a" * 5000, b"connection:\tclose", b"connection: x,,close",
    b"trailer: x-a", b"http2-settings: AAMAAABkAAQAAP__", b"keep-alive: timeout=5", b"content_length: 3", b"connection: \"close\"",
]  # fmt: skip
BODIES = [
    b"",
    b"abc",
    b"0\r\n\r\n",
    b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n",
    b"\r\n",
    b"x" * 5000,
    b"x" * 70_000,
    b"\n\n",
]
LENGTHS = [
    b"content-length: %d"] * 20 + [b"Content-Length:%d", b"content-length: 0%d", b"content-length: %d ", b"content-length:\t%d", b"content-length: +%d",
    b"content-length: -%d", b"content-length: %d, %d", b"content-length: %d\r\ncontent-length: %d", b"content-length: 0x%x",
    b"content-length: %d.0", b"content-length: %d 1", b"content-length: 1%d", b"content-length: 18446744073709551616%d", b"content-length:",
    b"content-length: %d\r\ntransfer-encoding: chunked", b"content-length : %d", b"content-length: %d\x0b", b"content-length: 9223372036854775808%d",
]  # fmt: skip
CODINGS = [b"transfer-encoding: chunked"] * 12 + [
    b"Transfer-Encoding:Chunked", b"transfer-encoding: chunked ", b"transfer-encoding: \tchunked", b"transfer-encoding: xchunked", b"transfer-encoding: chunked, identity",
    b"transfer-encoding: identity, chunked", b"transfer-encoding: chunked\r\ntransfer-encoding: chunked", b"transfer-encoding:",
    b"transfer-encoding: chunked\r\ntransfer-encoding: identity", b"transfer-encoding: identity\r\ntransfer-encoding: chunked",
    b"transfer-encoding : chunked", b"transfer-encoding: \"chunked\"", b"transfer-encoding: chunked;a=b", b"transfer-encoding: chunked,",
    b"transfer-encoding: ,chunked", b"transfer-encoding: chunked, chunked", b"transfer-encoding\x00: chunked", b"transfer-encoding: chun\x0bked",
    b"transfer-encoding: gzip, chunked", b"transfer-encoding:\x0bchunked", b"transfer-encoding: chunked\r\ncontent-length: 5",
]  # fmt: skip
SIZES = [b"%x"] * 20 + [b"%X", b"0%x", b"%x;a=b", b"%x;a", b"%x;a=\"b\"", b"%x;", b"%x ", b" %x", b"0x%x", b"+%x", b"-%x", b"%xg", b"0000000000000000%x",
    b"10000000000000000%x", b"%x;a\nb", b"%x;\r\xe9", b"1%x", b"%x\t", b"%x ;a", b";a=b", b"%x;" + b"a" * 5000, b"%x;a=b;c"]  # fmt: skip
TRAILERS = [b""] * 12 + [
    b"x-a: b\r\n", b"x-a: b\r\nx-b: c\r\n", b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n", b"host: y\r\n", b"connection: close\r\n",
    b"upgrade: h2c\r\nconnection: upgrade\r\n", b"x-a : b\r\n", b"x-a\r\n", b" x: a\r\n", b"expect: 100-continue\r\n", b"a:\r\n" * 101, b"x-a: b\n",
]  # fmt: skip


PARTS = [b"abc", b"0", b"\r\n", b"x" * 20]
LAST_CHUNKS = [b"0\r\n"] * 15 + [b"00\r\n", b"0;a\r\n", b"0\n", b"", b"0 \r\n"]
PUT = [
    b"",
    b"\r",
    b"\n",
    b"\x00",
    b" ",
    b":",
    b"\t",
    b"\x0b",
    b"\x7f",
    b"\xff",
    b",",
    b";",
    b"0",
    b"a",
    b"\r\n",
    b"\r\n\r\n",
]


def filled(pattern: bytes, number: int) -> bytes:
    count = sum(pattern.count(b"%" + kind) for kind in (b"d", b"x", b"X"))
    return pattern % ((number,) * count) if count else pattern


def drawn_request(random: Random) -> bytes:
    """Draw one request, which may be malformed."""
    body, content = random.choice(BODIES), b""
    first = filter(None, (random.choice(METHODS), random.choice(TARGETS), random.choice(VERSIONS)))
    fields = [random.choice(HOSTS), *random.choices(FIELDS, k=random.randrange(4))]
    match random.randrange(4):
        case 0:
            content = body if random.randrange(5) == 0 else b""
        case 1:
            fields.append(filled(random.choice(LENGTHS), len(body)))
            content = body
        case _:
            fields.append(random.choice(CODINGS))
            parts = [body, *random.choices(PARTS, k=random.randrange(3))]
            chunks = [
                (filled(random.choice(SIZES), len(part)), part, random.choice(ENDS)) for part in parts if part
            ]
            content = b"".join(b"%b\r\n%b%b" % chunk for chunk in chunks)
            content += random.choice(LAST_CHUNKS) + random.choice(TRAILERS) + b"\r\n"
    if random.randrange(2):
        random.shuffle(fields)
    return (
        b"\r\n".join([" ".join(first).encode("latin-1"), *fields]) + random.choice(ENDS) + b"\r\n" + content
    )


def damaged(random: Random, content: bytes) -> bytes:
    """Change, remove or repeat some bytes."""
    for _ in range(random.randint(1, 3)):
        at = random.randint(0, min(len(content), 400))
        content = content[:at] + random.choice(PUT) + content[at + random.randrange(4) :]
    return content


def drawn_conversation(random: Random) -> Conversation:
    pieces = [drawn_request(random) for _ in range(random.randint(1, 4))]
    for place in range(len(pieces)):
        match random.randrange(6):
            case 0:
                pieces[place] = damaged(random, pieces[place])
            case 1 if random.randrange(4) == 0:
                pieces[place] = random.randbytes(random.randrange(40))
    stream = b"".join(pieces)
    if len(stream) < 600 and random.randrange(10) == 0:
        cuts = list(range(1, len(stream)))
    else:
        cuts = sorted(random.randint(0, len(stream)) for _ in range(random.randrange(6)))
    admission = random.choice(["open", "open", "open", "full", "closed"])
    budget = random.choice([AMPLE, AMPLE, AMPLE, TIGHT])
    return Conversation(stream, tuple(cuts), bool(random.randrange(2)), admission, budget)


# Answers


@dataclass(frozen=True)
class Answer:
    status: int
    closes: bool
    body: bytes


def answers(written: bytes, methods: list[str]) -> Iterator[Answer]:
    """Read the answers to requests of these methods, and then any further answers."""
    number = 0
    while written:
        head, end, written = written.partition(b"\r\n\r\n")
        assert end, f"the answer {head!r} has no end"
        status_line, *lines = head.split(b"\r\n")
        version, status, *_ = status_line.split(b" ")
        assert version == b"HTTP/1.1", f"an answer begins with {status_line!r}"
        if status == b"100":
            continue
        fields = dict(line.lower().split(b": ", 1) for line in lines)
        # An answer to HEAD states the length of a body that it does not have. So may the last answer, to what is not a request.
        is_to_head = methods[number] == "HEAD" if number < len(methods) else not written
        length = 0 if is_to_head else int(fields[b"content-length"])
        assert len(written) >= length, f"the answer {head!r} lacks {length - len(written)} bytes"
        yield Answer(int(status), fields.get(b"connection") == b"close", written[:length])
        written = written[length:]
        number += 1


def check_answers(conversation: Conversation, reading: Reading, written: bytes, is_ended: bool) -> None:
    methods = [asked.method for asked in reading.requests]
    if reading.unfinished:
        methods.append(reading.unfinished[0])
    understood = len(methods) if reading.stop is Stop.UNSURE else None
    came = list(itertools.islice(answers(written, methods), understood))
    for place, asked in enumerate(reading.requests):
        if place == len(came) and conversation.budget == TIGHT and is_ended:
            assert place == 0 or came[-1].closes, "the connection ends although no answer announced it"
            return
        assert place < len(came), f"request {place} {asked.method} {asked.target} is not answered; {came}"
        answer = came[place]
        if answer.status == 503 and may_be_refused(conversation, asked):
            if answer.closes:
                assert place == len(came) - 1, "an answer comes after the last one"
                assert is_ended, "the connection does not end with its last answer"
                return
            continue
        body = b"" if asked.target.startswith("/unread") else asked.body
        expected = b"" if asked.method == "HEAD" else identity(asked.method, asked.target, body)
        assert (answer.status, answer.body) == (200, expected), (
            f"request {place} {asked.method} {asked.target}"
        )
        if conversation.admission == "closed":  # then the first answer is the last one
            assert answer.closes, "a service that is stopping keeps the connection"
            assert place == len(came) - 1, "an answer comes after the last one"
            assert is_ended, "the connection does not end with its last answer"
            return
    further = came[len(reading.requests) :]
    match reading.stop:
        case Stop.BETWEEN:
            assert not further, f"no request asked for {further}"
            assert is_ended == conversation.ends_its_side, (
                "the connection must end exactly if the client ends its side"
            )
        case Stop.LAST:
            assert not further, f"{further} comes after the last answer"
            assert is_ended, "the connection does not end with its last answer"
        case Stop.MALFORMED:
            check_one_refusal(reading, further)
            assert is_ended, "a malformed request does not end the connection"
        case Stop.PARTIAL:
            check_one_refusal(reading, further)


def may_be_refused(conversation: Conversation, asked: Asked) -> bool:
    is_guarded = asked.method == "POST" and asked.target.partition("?")[0] in GUARDED
    return conversation.budget == TIGHT or (is_guarded and conversation.admission in {"full", "closed"})


def check_one_refusal(reading: Reading, further: list[Answer]) -> None:
    assert len(further) <= 1, f"there are two answers to one request: {further}"
    if further and further[0].status == 200:
        assert reading.unfinished, f"something that is not a request is answered: {further}"
        assert reading.unfinished[1].startswith("/unread"), (
            f"a request without its body is answered: {further}"
        )
    elif further:
        assert further[0].closes or further[0].status == 503, f"the connection continues after {further}"


def shared_by(conversation: Conversation) -> ConnectionContext:
    """The service's shared state for the connection of a conversation."""
    admission = Admission(
        BatchingSettings(), Stage.CLOSED if conversation.admission == "closed" else Stage.OPEN
    )
    if conversation.admission == "full":
        admission.load.texts = BatchingSettings().max_waiting_texts
    shared = ConnectionContext.of(ApiSettings(), admission, ApiSettings().max_connections, recorder())
    return replace(shared, budget=ByteBudget(conversation.budget))


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_exactly_the_requests_that_a_strict_reader_finds_are_answered_once_and_in_order(
    fuzz: Fuzz, loop: asyncio.AbstractEventLoop
) -> None:
    def check(conversation: Conversation) -> None:
        outcome = converse(loop, shared_by(conversation), conversation.segments, conversation.ends_its_side)
        assert not outcome.faults, outcome.faults[0]
        reading = read(conversation.content)
        check_answers(conversation, reading, outcome.written, outcome.is_ended)

    fuzz(drawn_conversation, check)
