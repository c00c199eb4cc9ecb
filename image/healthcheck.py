"""Exits with 0 if the service in this container is ready, for container engines without HTTP probes."""

import os
import sys
from urllib.error import URLError
from urllib.request import urlopen

PORT = os.environ.get("CLASSIFIER__API__PORT", "8000")

try:
    with urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=2) as answer:
        sys.exit(answer.status != 200)
except (URLError, TimeoutError):
    sys.exit(1)
