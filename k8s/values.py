"""The kinds of values that an environment is made of, each with its rule."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, cast

from lightkube.utils.quantity import parse_quantity
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from k8s.config import DIGEST_CHARACTERS

MAX_LABEL_CHARACTERS = 63
MAX_DNS_NAME_CHARACTERS = 253
MAX_NAME_CHARACTERS = MAX_LABEL_CHARACTERS - len("-") - DIGEST_CHARACTERS
"""Of an application's name: behind it the ConfigMap has a digest, the longest of what objects add."""

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
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

    @property
    def label(self) -> str:
        """Its name as the value of a label, which has no colon and at most 63 characters."""
        name = self.tag or (self.digest or "").replace(":", "-")
        return name[:MAX_LABEL_CHARACTERS].strip("_.-")


@dataclass(frozen=True)
class ImageReference:
    """Where an image is and which version of it."""

    repository: str
    version: ImageVersion

    def __str__(self) -> str:
        return f"{self.repository}{self.version}"


def _dns_label(name: str) -> str:
    if not _DNS_LABEL.fullmatch(name) or len(name) > MAX_LABEL_CHARACTERS:
        raise PydanticCustomError(
            "dns_label",
            "a DNS label is at most 63 of a-z, 0-9 and '-', with a letter or a digit at both ends",
        )
    return name


def _dns_name(name: str) -> str:
    labels = name.split(".")
    if not all(_DNS_LABEL.fullmatch(label) and len(label) <= MAX_LABEL_CHARACTERS for label in labels):
        raise PydanticCustomError("dns_name", "a DNS name is labels of a-z, 0-9 and '-' with dots between")
    if len(name) > MAX_DNS_NAME_CHARACTERS:
        raise PydanticCustomError("dns_name", "a DNS name is at most 253 characters")
    return name


def _secret_key(name: str) -> str:
    if not _SECRET_KEY.fullmatch(name):
        raise PydanticCustomError(
            "secret_key",
            "a key of a Secret is at most 253 of A-Z, a-z, 0-9, '-', '_' and '.', "
            "and is not '.' and does not begin with '..'",
        )
    return name


def _application_name(name: str) -> str:
    if not name[0].isalpha():
        raise PydanticCustomError("service_name", "it must begin with a letter, as a Service's name must")
    if len(name) > MAX_NAME_CHARACTERS:
        raise PydanticCustomError(
            "name_length",
            "it has {count} characters and may have {most}, since some objects add to it",
            {"count": len(name), "most": MAX_NAME_CHARACTERS},
        )
    return name


def amount(quantity: str) -> Decimal:
    """A quantity in cores or bytes; raises ValueError where it is none."""
    return cast(Decimal, parse_quantity(quantity))  # it gives None for None alone


def _quantity(text: str) -> str:
    try:
        is_some = amount(text) > 0
    except ValueError:
        is_some = False
    if not is_some:
        raise PydanticCustomError("quantity", "a quantity is a number above 0, as in 500m, 2 or 1Gi")
    return text


def _image_reference(text: object) -> ImageReference:
    parts = _IMAGE.fullmatch(text) if isinstance(text, str) else None
    if parts is None or (parts["digest"] is None and parts["tag"] in (None, _MOVING_TAG)):
        raise PydanticCustomError(
            "image", "an image is repository:tag, where the tag is not latest, or repository@sha256:digest"
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
ApplicationName = Annotated[DnsLabel, AfterValidator(_application_name)]
Quantity = Annotated[str, AfterValidator(_quantity)]
Image = Annotated[ImageReference, BeforeValidator(_image_reference)]
Version = Annotated[ImageVersion, BeforeValidator(_image_version)]
Port = Annotated[int, Field(ge=1, le=65535)]
Percent = Annotated[int, Field(ge=1, le=100)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[int, Field(ge=1)]
WindowSeconds = Annotated[int, Field(ge=0, le=3600)]
"""What Kubernetes allows for an autoscaler's look back."""
PeriodSeconds = Annotated[int, Field(ge=1, le=1800)]
"""What it allows for the period of a scaling policy."""
