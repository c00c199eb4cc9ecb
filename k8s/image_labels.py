"""The labels of an image, as its registry or a container engine of this machine has them."""

import hashlib
import json
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import httpx
from pydantic import AliasChoices, BaseModel, Field, ValidationError

from classifier.validation import first_error
from k8s.environment.values import ImageReference
from k8s.errors import UnreadableImage

ENGINES = ("podman", "docker")
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
DOCKER_HUB = "registry-1.docker.io"
"""The registry of a repository without a host, and of docker.io."""
SILENCE_SECONDS = 5
"""Longest wait for the next bytes of a registry, or for an engine."""
TOTAL_SECONDS = 20
"""Longest time for all answers of a registry together."""
MAX_BYTES = 4 * 2**20
"""Most bytes of one answer; registries accept no larger manifests."""
MAX_REDIRECTS = 3
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_CHALLENGE = re.compile(r'(realm|service|scope)="([^"]*)"')


@dataclass(frozen=True)
class ImageLabels:
    """The labels of an image."""

    values: Mapping[str, str]
    source: str
    """Who has them, in words."""


def read_labels(image: ImageReference) -> ImageLabels:
    """Ask the registry, which the nodes ask as well, and then the engines; raises UnreadableImage."""
    readers: list[Callable[[ImageReference], ImageLabels]] = [_in_registry]
    readers.extend(partial(_in_engine, engine) for engine in ENGINES)
    reasons = []
    for read in readers:
        try:
            return read(image)
        except UnreadableImage as error:
            reasons.append(str(error))
    raise UnreadableImage("; ".join(reasons))


def _in_engine(engine: str, image: ImageReference) -> ImageLabels:
    command = [engine, "image", "inspect", "--format", "{{json .Config.Labels}}", str(image)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SILENCE_SECONDS)
    except FileNotFoundError as error:
        raise UnreadableImage(f"{engine} is not installed") from error
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no message"])[-1].removeprefix("Error: ")
        raise UnreadableImage(f"{engine}: {last}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnreadableImage(f"{engine}: {error}") from error
    return ImageLabels(json.loads(done.stdout) or {}, f"{engine} on this machine")


def _in_registry(image: ImageReference) -> ImageLabels:
    host, name = place(image.repository)
    is_local = host.partition(":")[0] in ("localhost", "127.0.0.1")
    # Images are pushed to a registry on this machine without TLS, and no proxy reaches it.
    scheme = "http" if is_local else "https"
    try:
        with httpx.Client(
            timeout=SILENCE_SECONDS,
            follow_redirects=True,
            max_redirects=MAX_REDIRECTS,
            trust_env=not is_local,
        ) as client:
            repository = _Repository(client, f"{scheme}://{host}/v2/{name}")
            labels = repository.labels(image.version.digest or str(image.version.tag))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UnreadableImage(f"{host} does not answer: {error or type(error).__name__}") from error
    except ValidationError as error:
        broken = first_error(error)
        raise UnreadableImage(f"{host} answers with {broken.place}, of which {broken.rule}") from error
    return ImageLabels(labels, f"registry {host}")


class _Repository:
    """A repository of a registry, asked without credentials. Every answer is bounded in bytes and time."""

    def __init__(self, client: httpx.Client, url: str) -> None:
        self._client = client
        self._url = url
        self._deadline = time.monotonic() + TOTAL_SECONDS
        self._headers = {"accept": ", ".join(MANIFEST_TYPES)}

    def labels(self, version: str) -> dict[str, str]:
        """The labels of a version, which is a tag or a digest."""
        manifest = self._manifest(version)
        image = next((one.digest for one in manifest.manifests if one.is_image), None)
        if image:  # The images of an index are made from the same sources, for different platforms.
            manifest = self._manifest(image)
        if manifest.config is None:
            raise UnreadableImage(f"{self._url} has no image of the version {version}")
        blob = self._content("blobs", manifest.config.digest)
        return _Image.model_validate_json(blob).config.labels or {}

    def _manifest(self, version: str) -> "_Manifest":
        return _Manifest.model_validate_json(self._content("manifests", version))

    def _content(self, what: str, version: str) -> bytes:
        url = f"{self._url}/{what}/{version}"
        status, headers, content = self._get(url)
        if status == httpx.codes.UNAUTHORIZED and (token := self._token(headers)):
            self._headers["authorization"] = f"Bearer {token}"
            status, headers, content = self._get(url)
        if status != httpx.codes.OK:
            raise UnreadableImage(f"{url} answers with status {status}")
        digest = _DIGEST.fullmatch(version)
        if digest and hashlib.sha256(content).hexdigest() != digest[1]:
            raise UnreadableImage(f"{url} answers with something of another digest")
        return content

    def _token(self, headers: httpx.Headers) -> str | None:
        """The token that a registry gives to everybody for a public repository."""
        challenge = headers.get("www-authenticate", "")
        fields = dict(_CHALLENGE.findall(challenge))
        if not challenge.lower().startswith("bearer ") or "realm" not in fields:
            return None
        realm = httpx.URL(fields.pop("realm")).copy_merge_params(fields)
        status, _, content = self._get(str(realm))
        return _Token.model_validate_json(content).value if status == httpx.codes.OK else None

    def _get(self, url: str) -> tuple[int, httpx.Headers, bytes]:
        content = bytearray()
        with self._client.stream("GET", url, headers=self._headers) as answer:
            for chunk in answer.iter_bytes():
                content += chunk
                if len(content) > MAX_BYTES:
                    raise UnreadableImage(f"{url} answers with more than {MAX_BYTES} bytes")
                if time.monotonic() > self._deadline:
                    raise UnreadableImage(f"{url} does not answer within {TOTAL_SECONDS} seconds")
            return answer.status_code, answer.headers, bytes(content)


def place(repository: str) -> tuple[str, str]:
    """The host of a repository's registry, and its name there, by the rules of podman and docker."""
    host, slash, name = repository.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, name = "docker.io", repository
    if host != "docker.io":
        return host, name
    return DOCKER_HUB, name if "/" in name else f"library/{name}"


class _Descriptor(BaseModel):
    digest: str = Field(pattern=_DIGEST.pattern)
    platform: dict[str, object] = {}

    @property
    def is_image(self) -> bool:
        """Whether this is an image and no statement about another one, whose platform is unknown."""
        return self.platform.get("os") != "unknown"


class _Manifest(BaseModel):
    config: _Descriptor | None = None
    manifests: tuple[_Descriptor, ...] = ()


class _Config(BaseModel):
    labels: dict[str, str] | None = Field(None, alias="Labels")


class _Image(BaseModel):
    config: _Config


class _Token(BaseModel):
    value: str = Field(validation_alias=AliasChoices("token", "access_token"))
