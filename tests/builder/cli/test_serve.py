"""What ``pybuild registry serve`` says when it begins; it serves in ``tests/e2e/test_serve.py``."""

from __future__ import annotations

import pytest

from builder.cli.serve import _announce, _settings


@pytest.mark.parametrize(
    ("listen", "host", "port"),
    [
        ("127.0.0.1:5000", "127.0.0.1", 5000),
        ("5001", "127.0.0.1", 5001),
        (":5000", "0.0.0.0", 5000),
        ("0.0.0.0:0", "0.0.0.0", 0),
        ("[::1]:80", "::1", 80),
        ("registry.internal:5000", "registry.internal", 5000),
    ],
)
def test_an_address_has_a_port_and_may_have_a_host(listen: str, host: str, port: int) -> None:
    found = _settings(listen, ["Name"], read_only=False)

    assert (host, port, ("name",)) == (found.host, found.port, found.names)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1"])
def test_loopback_is_nothing_to_warn_of(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    _announce(host, 5000, read_only=False)

    shown = f"[{host}]" if ":" in host else host
    assert (f"Serving at http://{shown}:5000\n", "") == capsys.readouterr()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2"])
def test_who_else_can_reach_it_is_said_plainly(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    _announce(host, 5000, read_only=False)
    writable = capsys.readouterr().err
    _announce(host, 5000, read_only=True)
    readable = capsys.readouterr().err

    assert f"WARNING! {host} is not loopback: whoever reaches port 5000 can read every image in this store" in writable
    assert "put others in their place" in writable
    assert "put others in their place" not in readable
    assert "no logins and no encryption" in readable
