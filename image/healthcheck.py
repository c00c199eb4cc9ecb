"""Whether the service in this container is ready, as an exit status: for engines that know no HTTP probes."""

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
