"""Access to the service: host names and API keys."""

import hashlib
from pathlib import Path

import pytest

from classifier.errors import SettingsError
from classifier.settings import ApiSettings
from cli import plain
from serving.errors import MisdirectedRequest, Unauthorized
from serving.request.access import MAX_KEYS, MAX_KEYS_FILE_BYTES, Access, read_key_hashes

KEY = "correct horse battery staple"
LINE = hashlib.sha256(KEY.encode()).hexdigest()
OTHER_LINE = hashlib.sha256(b"another").hexdigest()


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"# of our clients\n{OTHER_LINE}  # the batch job\n\n{LINE}\n", encoding="utf-8")
    return path


@pytest.fixture
def with_keys(keys_file: Path) -> Access:
    return Access.load(ApiSettings(keys_file=str(keys_file)))


def bearer(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"x"), *[(b"authorization", value.encode()) for value in values]]


def test_without_hosts_and_keys_every_request_passes() -> None:
    unrestricted = Access.load(ApiSettings())
    assert unrestricted.is_unrestricted
    assert unrestricted.refusal("/predict", []) is None


@pytest.mark.parametrize("value", [f"Bearer {KEY}", f"bearer {KEY}", f"BEARER  {KEY} ", "Bearer another"])
def test_each_key_in_the_file_gives_access(with_keys: Access, value: str) -> None:
    assert with_keys.refusal("/predict", bearer(value)) is None


@pytest.mark.parametrize("path", ["/predict", "/classify", "/", "/model/info", "/nowhere"])
@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", f"Basic {KEY}", KEY, f"Bearer {KEY}x", f"Bearer {LINE}", "Bearer \xff"]
)
def test_a_request_without_a_known_key_is_refused(with_keys: Access, path: str, value: str) -> None:
    assert isinstance(with_keys.refusal(path, bearer(value)), Unauthorized)
    assert isinstance(with_keys.refusal(path, []), Unauthorized)


def test_a_request_with_two_keys_is_refused(with_keys: Access) -> None:
    for values in ((f"Bearer {KEY}", "Bearer wrong"), ("Bearer wrong", f"Bearer {KEY}")):
        assert isinstance(with_keys.refusal("/predict", bearer(*values)), Unauthorized)


def test_a_file_with_too_many_keys_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"{LINE}\n" * (MAX_KEYS + 1), encoding="utf-8")
    with pytest.raises(SettingsError, match=f"has {MAX_KEYS + 1} keys; at most {MAX_KEYS} are read"):
        read_key_hashes(path)


@pytest.mark.parametrize(
    "path",
    [
        "/livez",
        "/readyz",
        "/healthz",
        "/health",
        "/docs",
        "/docs/static/docs.js",
        "/openapi.json",
        "/schema.json",
    ],
)
def test_probes_and_the_api_page_need_no_key(with_keys: Access, path: str) -> None:
    assert with_keys.refusal(path, []) is None


@pytest.mark.parametrize("needs_key", [False, True])
def test_a_setting_decides_whether_metrics_need_a_key(keys_file: Path, needs_key: bool) -> None:
    loaded = Access.load(ApiSettings(keys_file=str(keys_file), metrics_need_key=needs_key))
    assert (loaded.refusal("/metrics", []) is not None) == needs_key


@pytest.mark.parametrize(
    ("host", "passes"),
    [
        ("api.example.com", True),
        ("API.example.com:8443", True),
        ("[::1]:8000", True),
        ("[::1]", True),
        ("evil.example.com", False),
        ("api.example.com.evil.com", False),
        ("", False),
    ],
)
def test_only_requests_to_allowed_hosts_are_answered(host: str, passes: bool) -> None:
    with_hosts = Access.load(ApiSettings(allowed_hosts=("api.Example.com", "[::1]")))
    refusal = with_hosts.refusal("/docs", [(b"host", host.encode())])
    assert (refusal is None) == passes
    if not passes:
        assert isinstance(refusal, MisdirectedRequest)


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_a_probe_may_name_any_host(path: str) -> None:
    with_hosts = Access.load(ApiSettings(allowed_hosts=("api.example.com",)))
    assert with_hosts.refusal(path, [(b"host", b"10.1.2.3:3000")]) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"{LINE}\n{KEY}\n", "line 2 is not the SHA-256 of a key"),
        (LINE.upper(), "line 1 is not the SHA-256 of a key"),
        ("", "has no key"),
        ("# none yet\n", "has no key"),
        ("#" * (MAX_KEYS_FILE_BYTES + 1), f"has more than {MAX_KEYS_FILE_BYTES} bytes"),
    ],
)
def test_an_invalid_keys_file_is_refused_without_repeating_its_content(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "keys"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match=message) as raised:
        read_key_hashes(path)
    assert KEY not in str(raised.value)


def test_a_missing_keys_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"api\.keys_file .*keys cannot be read: No such file"):
        read_key_hashes(tmp_path / "keys")


def test_a_new_key_is_printed_with_its_line_for_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    plain.key()
    key, line = (row.split()[1] for row in capsys.readouterr().out.splitlines())
    assert len(key) >= 43
    assert line == hashlib.sha256(key.encode()).hexdigest()


@pytest.mark.parametrize("host", ["FE80::1", "[FE80::1]", "fe80::1"])
def test_an_ipv6_address_is_allowed_however_its_letters_are_written(host: str) -> None:
    with_hosts = Access.load(ApiSettings(allowed_hosts=(host,)))
    assert with_hosts.refusal("/predict", [(b"host", b"[fe80::1]:8000")]) is None


def test_an_allowed_host_with_a_port_is_refused_with_the_rule() -> None:
    with pytest.raises(SettingsError, match=r"'example\.com:8000'; it must be a host name or an IP address"):
        Access.load(ApiSettings(allowed_hosts=("example.com:8000",)))
