"""Recognizes a plain request, about whose end no two parsers can disagree, without a parser."""

import re

from serving.routes import ROUTES

_PATHS = b"|".join(re.escape(route.path.encode()) for route in ROUTES if route.is_for_model)
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_LINE = (
    rb"(?:(?!(?i:content-length|transfer-encoding|connection|expect|upgrade))"
    rb"%(token)b:[^\x00-\x08\x0a-\x1f\x7f]*+\r\n|(?i:connection: ?keep-alive)\r\n)"
) % {b"token": _TOKEN}

PLAIN_REQUEST = re.compile(
    rb"POST (?P<path>%(paths)b) HTTP/1\.1\r\n"
    rb"%(line)b*+(?i:content-length): ?(?P<length>[0-9]{1,9})\r\n%(line)b*+\r\n"
    % {b"paths": _PATHS, b"line": _LINE}
)
"""The head of a plain request to the model, with its path and the length of its body."""
