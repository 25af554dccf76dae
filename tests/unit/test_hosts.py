"""What a host is called: how it is read, and which names an allowed one stands for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from melbo_app.hosts import Host, client_of, read_embedder, read_host, read_network, read_origin


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("localhost", Host("localhost")),
        ("LocalHost:7860", Host("localhost", 7860)),
        ("lab.example", Host("lab.example")),
        ("my_machine-2.lab", Host("my_machine-2.lab")),
        ("10.0.0.5:80", Host("10.0.0.5", 80)),
        ("[::1]:7860", Host("::1", 7860)),
        ("xn--bcher-kva.example", Host("xn--bcher-kva.example")),
    ],
)
def test_a_host_is_read_as_browsers_send_it(written, host):
    assert read_host(written) == host


@pytest.mark.parametrize(
    "written",
    [
        "", "localhost.", "lab.example.", ".lab.example", "a..b", "-a.b", "a b", "a/b", "a@b", "a,b", "a\x00b", "a:b",
        "a:0", "a:65536", "a:1:2", "::1", "[::1", "[lab]", "[::1]x", "*.lab.example", "*", "a\u0131b", "\u0661.1.1.1",
        "a" * 300, "%6c",
        "user:pass@localhost", "localhost\n", "http://localhost",
    ],
)  # fmt: skip
def test_what_is_no_host_is_none(written):
    assert read_host(written) in (None, read_host(written.strip()) if written.strip() != written else None)


@given(st.text())
def test_reading_never_fails_and_gives_plain_names(text):
    for host in (read_host(text), read_host(text, pattern=True), read_origin(text)):
        assert host is None or set(host.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-_:*")


@pytest.mark.parametrize(
    ("name", "loopback"),
    [
        ("localhost", True), ("127.0.0.1", True), ("127.8.8.8", True), ("[::1]", True), ("x.localhost", False),
        ("0.0.0.0", False), ("10.0.0.1", False), ("localhost.evil.example", False), ("127.0.0.1.nip.io", False),
    ],
)  # fmt: skip
def test_only_this_machine_s_own_names_are_loopback(name, loopback):
    assert read_host(name).is_loopback is loopback


@pytest.mark.parametrize(
    ("allowed", "asked", "allows"),
    [
        ("lab.example", "lab.example:8443", True),
        ("lab.example:80", "lab.example:8443", False),
        ("lab.example", "x.lab.example", False),
        ("*.lab.example", "x.lab.example", True),
        ("*.lab.example", "x.y.lab.example:1", True),
        ("*.lab.example", "lab.example", False),
        ("*.lab.example", "evil-lab.example", False),
        ("[2001:db8::1]", "[2001:db8:0::1]:80", True),
        ("10.0.0.5", "10.0.0.50", False),
    ],
)
def test_a_name_stands_for_any_port_and_a_star_for_subdomains(allowed, asked, allows):
    assert read_host(allowed, pattern=True).allows(read_host(asked)) is allows


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:7860", Host("localhost", 7860)),
        ("https://Lab.example", Host("lab.example", 443)),
        ("http://lab.example", Host("lab.example", 80)),
        ("null", None), ("", None), ("file://", None), ("chrome-extension://abc", None), ("http://a/b", None),
        ("https://", None), ("localhost", None),
    ],
)  # fmt: skip
def test_an_origin_is_a_host_with_the_scheme_s_port(origin, host):
    assert read_origin(origin) == host


def test_networks_and_embedders():
    assert read_network("10.0.0.0/8") and read_network("::1") and read_network("127.0.0.1")
    assert read_network("proxy") is None and read_network("10.0.0.1/8") is None and read_network("*") is None
    assert read_embedder("https://*.lab.example:8443") == "https://*.lab.example:8443"
    for hostile in (
        "*",
        "lab.example",
        "https://a; script-src *",
        "https://a b",
        "javascript://a",
        "https://a/b",
        "'self'",
    ):
        assert read_embedder(hostile) is None


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("behind a proxy", ""),
        ("", ""),
    ],
)
def test_a_client_cannot_vary_its_address(address, client):
    assert client_of(address) == client
