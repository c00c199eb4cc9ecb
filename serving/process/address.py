"""Turns `api.host` into the address to listen on and the URL to open."""

import ipaddress
import socket

from classifier.errors import SettingsError


def listening_address(host: str) -> str:
    """The IP address of a host, which may be a name; the IPv4 address if there are both kinds.

    BentoML accepts only IP addresses. Raises SettingsError if the name has no address.
    """
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:  # ValueError: the text cannot be a name at all
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingsError(
            f"api.host is {host!r}; it must be an IP address of this machine or a name that has one: {why}"
        ) from error
    addresses = [str(address[0]) for *_, address in found]
    return min(addresses, key=lambda address: ":" in address)


def family_of(address: str) -> socket.AddressFamily:
    """The kind of socket that listens on an IP address."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def url_of(address: str, port: int) -> str:
    """The URL that reaches a server on this address from the same machine."""
    ip = ipaddress.ip_address(address)
    if ip.is_unspecified:
        ip = ipaddress.ip_address("127.0.0.1" if ip.version == 4 else "::1")
    return f"http://{ip}:{port}" if ip.version == 4 else f"http://[{ip}]:{port}"
