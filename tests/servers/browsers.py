"""The browser that tests use."""

import os
import shutil

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
"""Its path; without any, playwright takes the one that `playwright install chromium` has installed."""
