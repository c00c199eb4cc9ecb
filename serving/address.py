"""What `api.host` means: the address to listen on, and the URL to open."""

import ipaddress
import socket

from classifier.errors import SettingsError


def listening_address(host: str) -> str:
    """The IP address of a host, which may be a name; IPv4 where it has both.

    BentoML takes nothing but IP addresses. Raises SettingsError where the name has no address.
    """
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:  # ValueError: what cannot be a name at all
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
    """The URL that someone on this machine opens to reach what listens on the address."""
    ip = ipaddress.ip_address(address)
    if ip.is_unspecified:
        ip = ipaddress.ip_address("127.0.0.1" if ip.version == 4 else "::1")
    return f"http://{ip}:{port}" if ip.version == 4 else f"http://[{ip}]:{port}"
