"""The types of the values of an environment, each with its rule."""

import ipaddress
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, cast

from lightkube.utils.quantity import parse_quantity
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from monitoring.rules import NotARunbookUrl, published_runbook

MAX_LABEL_CHARACTERS = 63
MAX_DNS_NAME_CHARACTERS = 253
CONFIG_DIGEST_CHARACTERS = 10
"""Characters of the content's digest at the end of the ConfigMap's name."""
MAX_NAME_CHARACTERS = MAX_LABEL_CHARACTERS - len("-") - CONFIG_DIGEST_CHARACTERS
"""Most characters of a name. The longest suffix that an object adds is that of the ConfigMap."""

SHOWN_DIGEST_CHARACTERS = 12
"""Characters of an image's digest that are shown to people. Kubernetes always gets all of them."""

OWN_PREFIXES = ("app.kubernetes.io/", "pod-security.kubernetes.io/", "text-classifier/")
OWN_KEY = "track"
"""Only the manifests set labels and annotations with this key, or with keys that start with the prefixes."""

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_SECRET_KEY = re.compile(r"(?!\.\.)[-._A-Za-z0-9]{1,253}(?<!^\.)")
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"sha256:[0-9a-f]{64}"
_TAG_OR_DIGEST = re.compile(rf"(?P<tag>{_TAG})|(?P<digest>{_DIGEST})")
_IMAGE = re.compile(
    r"(?!sha256:)(?P<repository>([A-Za-z0-9.-]+(:\d+)?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*)"
    rf"(:(?P<tag>{_TAG}))?(@(?P<digest>{_DIGEST}))?"
)
_MOVING_TAG = "latest"


@dataclass(frozen=True)
class ImageVersion:
    """One version of an image: a tag, a digest or both."""

    tag: str | None
    digest: str | None

    def __str__(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


@dataclass(frozen=True)
class ImageReference:
    """The repository of an image, and the version."""

    repository: str
    version: ImageVersion

    def __str__(self) -> str:
        return f"{self.repository}{self.version}"

    @property
    def short(self) -> str:
        """The reference without the registry, and with the first characters of the digest, for people."""
        digest = self.version.digest
        shown = ImageVersion(self.version.tag, digest and digest[: len("sha256:") + SHOWN_DIGEST_CHARACTERS])
        return f"{self.repository.rpartition('/')[2]}{shown}"


def _dns_label(name: str) -> str:
    if not _DNS_LABEL.fullmatch(name) or len(name) > MAX_LABEL_CHARACTERS:
        raise PydanticCustomError(
            "dns_label",
            "a DNS label has at most 63 of a-z, 0-9 and '-', with a letter or a digit at both ends",
        )
    return name


def _dns_name(name: str) -> str:
    labels = name.split(".")
    if not all(_DNS_LABEL.fullmatch(label) and len(label) <= MAX_LABEL_CHARACTERS for label in labels):
        raise PydanticCustomError(
            "dns_name", "a DNS name consists of labels of a-z, 0-9 and '-' with dots between them"
        )
    if len(name) > MAX_DNS_NAME_CHARACTERS:
        raise PydanticCustomError("dns_name", "a DNS name has at most 253 characters")
    return name


def _ip_range(text: str) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise _not_an_ip_range(str(error)) from error
    if isinstance(network, ipaddress.IPv6Network):
        if network.network_address.scope_id is not None:
            raise _not_an_ip_range("a NetworkPolicy takes no zone (the part from '%')")
        if network.network_address.ipv4_mapped is not None:
            raise _not_an_ip_range("the IPv4 addresses themselves must be given, not mapped to IPv6")
    if str(network) != text:
        raise _not_an_ip_range(f"this range must be written as {network}")
    return text


def _not_an_ip_range(reason: str) -> PydanticCustomError:
    return PydanticCustomError(
        "ip_range", "a range of addresses is written as in 10.0.0.0/16: {reason}", {"reason": reason}
    )


def _annotations(annotations: dict[str, str]) -> dict[str, str]:
    for key in annotations:
        _check_metadata_key(key)
    return annotations


def _labels(labels: dict[str, str]) -> dict[str, str]:
    for key, value in labels.items():
        _check_metadata_key(key)
        if value and not _QUALIFIED_NAME.fullmatch(value):
            raise PydanticCustomError(
                "label_value",
                "the value of a label has at most 63 of A-Z, a-z, 0-9, '-', '_' and '.', "
                "with a letter or a digit at both ends",
            )
    return labels


def _check_metadata_key(key: str) -> None:
    if key == OWN_KEY or key.startswith(OWN_PREFIXES):
        raise PydanticCustomError(
            "own_key",
            "'{key}' cannot be added, because only the manifests set {own} "
            "and keys that start with {prefixes}",
            {"key": key, "own": OWN_KEY, "prefixes": ", ".join(OWN_PREFIXES)},
        )
    prefix, slash, name = key.rpartition("/")
    if slash:
        _dns_name(prefix)
    if not _QUALIFIED_NAME.fullmatch(name):
        raise PydanticCustomError(
            "metadata_key",
            "'{key}' must have at most 63 of A-Z, a-z, 0-9, '-', '_' and '.', "
            "with a letter or a digit at both ends, after a DNS name and a '/' or alone",
            {"key": key},
        )


def _secret_key(name: str) -> str:
    if not _SECRET_KEY.fullmatch(name):
        raise PydanticCustomError(
            "secret_key",
            "a key of a Secret has at most 253 of A-Z, a-z, 0-9, '-', '_' and '.'; "
            "it is not '.' and does not start with '..'",
        )
    return name


def _application_name(name: str) -> str:
    if not name[0].isalpha():
        raise PydanticCustomError(
            "service_name", "it must start with a letter, because it is the name of a Service"
        )
    if len(name) > MAX_NAME_CHARACTERS:
        raise PydanticCustomError(
            "name_length",
            "it has {count} characters; at most {most} are allowed, because some objects add a suffix",
            {"count": len(name), "most": MAX_NAME_CHARACTERS},
        )
    return name


def amount(quantity: str) -> Decimal:
    """A quantity as a number of cores or bytes; raises ValueError if it is not a quantity."""
    return cast(Decimal, parse_quantity(quantity))  # only None gives None


def _quantity(text: str) -> str:
    try:
        is_positive = amount(text) > 0
    except ValueError:
        is_positive = False
    if not is_positive:
        raise PydanticCustomError("quantity", "a quantity is a number above 0, as in 500m, 2 or 1Gi")
    return text


def _runbook_url(url: str) -> str:
    try:
        published_runbook(url)
    except NotARunbookUrl as error:
        raise PydanticCustomError(
            "runbook_url", "the URL of a page begins with http:// or https:// and has no '#'"
        ) from error
    return url


def _image_reference(text: object) -> ImageReference:
    parts = _IMAGE.fullmatch(text) if isinstance(text, str) else None
    if parts is None or (parts["digest"] is None and parts["tag"] in (None, _MOVING_TAG)):
        raise PydanticCustomError(
            "image", "an image is repository:tag with a tag other than latest, or repository@sha256:digest"
        )
    return ImageReference(parts["repository"], ImageVersion(parts["tag"], parts["digest"]))


def _image_version(text: object) -> ImageVersion:
    parts = _TAG_OR_DIGEST.fullmatch(text) if isinstance(text, str) else None
    if parts is None or parts["tag"] == _MOVING_TAG:
        raise PydanticCustomError(
            "image_version",
            "a version is a tag of the image's repository other than latest, or sha256:digest",
        )
    return ImageVersion(parts["tag"], parts["digest"])


DnsLabel = Annotated[str, AfterValidator(_dns_label)]
DnsName = Annotated[str, AfterValidator(_dns_name)]
SecretKey = Annotated[str, AfterValidator(_secret_key)]
IpRange = Annotated[str, AfterValidator(_ip_range)]
Labels = Annotated[dict[str, str], AfterValidator(_labels)]
Annotations = Annotated[dict[str, str], AfterValidator(_annotations)]
ApplicationName = Annotated[DnsLabel, AfterValidator(_application_name)]
Quantity = Annotated[str, AfterValidator(_quantity)]
RunbookUrl = Annotated[str, AfterValidator(_runbook_url)]
Image = Annotated[ImageReference, BeforeValidator(_image_reference)]
Version = Annotated[ImageVersion, BeforeValidator(_image_version)]
Port = Annotated[int, Field(ge=1, le=65535)]
Percent = Annotated[int, Field(ge=1, le=100)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[int, Field(ge=1)]
DelaySeconds = Annotated[int, Field(ge=0)]
WindowSeconds = Annotated[int, Field(ge=0, le=3600)]
"""What Kubernetes allows for the stabilization window of an autoscaler."""
PeriodSeconds = Annotated[int, Field(ge=1, le=1800)]
"""What Kubernetes allows for the period of a scaling policy."""
