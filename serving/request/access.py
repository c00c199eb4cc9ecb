"""Decides who may use the service, by the host name of the request and by API keys."""

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from classifier.errors import SettingsError
from classifier.settings import ApiSettings
from serving.errors import HttpError, MisdirectedRequest, Unauthorized
from serving.routes import BENTOML_PATHS, LIVEZ, METRICS, READYZ, ROUTES

MAX_KEYS = 1000
"""Most keys that are read. Each request's key is compared with all of them, which takes 0.1 ms for 1,000."""

MAX_KEYS_FILE_BYTES = 200_000
"""Most bytes of the file of keys, including comments."""

KEY_BYTES = 32
"""Random bytes of a new key."""

_HASH = re.compile(r"[0-9a-f]{64}")
_OPEN_PATHS = frozenset(route.path for route in ROUTES if not route.needs_key) | BENTOML_PATHS
_PROBES = frozenset({LIVEZ.path, READYZ.path})
"""Paths that are answered for every host name, because a probe names the address of its container."""
_PAGE_FILES = "/docs/"
"""The beginning of the paths of the files that the API's page loads."""


@dataclass(frozen=True)
class Access:
    """The rules that every request must pass before it is answered."""

    allowed_hosts: frozenset[str]
    """Host names in lower case, without ports. If there are none, every host name is accepted."""
    key_hashes: tuple[bytes, ...]
    """SHA-256 of each key. If there are none, no key is needed."""
    open_paths: frozenset[str]
    """Paths that never need a key."""

    @classmethod
    def load(cls, settings: ApiSettings) -> "Access":
        """Read the file of keys; raises SettingsError if it cannot be used."""
        hashes = read_key_hashes(Path(settings.keys_file)) if settings.keys_file else ()
        return cls(
            frozenset(map(_as_in_header, settings.allowed_hosts)),
            hashes,
            _OPEN_PATHS if settings.metrics_need_key else _OPEN_PATHS | {METRICS.path},
        )

    @property
    def needs_key(self) -> bool:
        """Whether any keys are set."""
        return bool(self.key_hashes)

    @property
    def is_unrestricted(self) -> bool:
        """Whether every request passes."""
        return not self.key_hashes and not self.allowed_hosts

    def refusal(self, path: str, headers: Sequence[tuple[bytes, bytes]]) -> HttpError | None:
        """Return the error for which a request is refused; None if it passes.

        Every key is compared, each in constant time, so that the response time reveals nothing about them.
        """
        if self.allowed_hosts and path not in _PROBES:
            named = [value for name, value in headers if name == b"host"]
            host = _without_port(named[0].decode("latin-1").lower()) if named else ""
            if host not in self.allowed_hosts:
                return MisdirectedRequest(f"the host {host[:60]!r} is not one that this service answers to")
        if not self.key_hashes or path in self.open_paths or path.startswith(_PAGE_FILES):
            return None
        given = [value for name, value in headers if name == b"authorization"]
        if len(given) > 1:
            return Unauthorized("there are several Authorization headers; a request has one")
        scheme, _, token = given[0].partition(b" ") if given else (b"", b"", b"")
        if scheme.lower() != b"bearer" or not token.strip():
            return Unauthorized("an API key is needed: Authorization: Bearer KEY")
        digest = hashlib.sha256(token.strip()).digest()
        known = [hmac.compare_digest(digest, key_hash) for key_hash in self.key_hashes]
        return None if any(known) else Unauthorized("the API key is not one that this service knows")


def read_key_hashes(path: Path) -> tuple[bytes, ...]:
    """Read a file with the SHA-256 of one key on each line, in hexadecimal; `#` begins a comment.

    Raises SettingsError if the file cannot be read, has a line that is not a hash, or has no hash at all.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_KEYS_FILE_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"api.keys_file {path} cannot be read: {error.strerror}") from error
    if len(content) > MAX_KEYS_FILE_BYTES:
        raise SettingsError(f"api.keys_file {path} has more than {MAX_KEYS_FILE_BYTES} bytes")
    hashes = []
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        if not _HASH.fullmatch(entry):  # The line is not repeated: it may be a key.
            raise SettingsError(
                f"api.keys_file {path} line {number} is not the SHA-256 of a key: 64 characters 0-9a-f; "
                "`text-classifier key` makes a key and its line"
            )
        hashes.append(bytes.fromhex(entry))
    if len(hashes) > MAX_KEYS:
        raise SettingsError(f"api.keys_file {path} has {len(hashes)} keys; at most {MAX_KEYS} are read")
    if not hashes:
        raise SettingsError(f"api.keys_file {path} has no key; leave the setting empty to need none")
    return tuple(hashes)


def _as_in_header(host: str) -> str:
    """A host name in lower case, or an IPv6 address in brackets; raises SettingsError if there is a port."""
    name = host.removeprefix("[").removesuffix("]").lower()
    if ":" not in name:
        return name
    try:
        ipaddress.IPv6Address(name)
    except ValueError:
        raise SettingsError(
            f"api.allowed_hosts has {host!r}; it must be a host name or an IP address, without a port"
        ) from None
    return f"[{name}]"


def _without_port(host: str) -> str:
    name, separator, port = host.rpartition(":")
    return name if separator and not port.endswith("]") else host


def new_key() -> tuple[str, str]:
    """A new API key, and its line in the file of keys."""
    key = secrets.token_urlsafe(KEY_BYTES)
    return key, hashlib.sha256(key.encode()).hexdigest()
