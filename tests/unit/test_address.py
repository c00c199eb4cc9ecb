"""`api.host` determines the address to listen on and the URL to open."""

import pytest

from classifier.errors import SettingsError
from serving.process.address import listening_address, url_of


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "0.0.0.0"),  # noqa: S104
        ("::", "::"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("localhost", "127.0.0.1"),
    ],
)
def test_a_host_is_an_ip_address_or_a_name_that_resolves_to_one(host: str, address: str) -> None:
    assert listening_address(host) == address


@pytest.mark.parametrize("host", ["no.such.host.invalid", "[::1]", "127.0.0.1:3000", " ", "a" * 300, "a\0b"])
def test_a_host_without_an_address_is_refused_in_one_sentence(host: str) -> None:
    with pytest.raises(SettingsError, match=r"^api\.host is .*; it must be an IP address of this machine or"):
        listening_address(host)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:3000"),
        ("0.0.0.0", "http://127.0.0.1:3000"),  # noqa: S104
        ("192.0.2.7", "http://192.0.2.7:3000"),
        ("::", "http://[::1]:3000"),
        ("::1", "http://[::1]:3000"),
    ],
)
def test_a_url_can_be_opened_on_this_machine(address: str, url: str) -> None:
    assert url_of(address, 3000) == url
