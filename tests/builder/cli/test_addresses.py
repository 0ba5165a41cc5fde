"""Addresses that are none end in an error that names them, wherever they stand; what a download's error says."""

from __future__ import annotations

import http.server
import threading
from typing import TYPE_CHECKING

import pytest

from builder.cli.fetch import requester
from builder.errors import ContextError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.builder.cli.conftest import Cli

BAD = "http://[::bad/x"


@pytest.mark.parametrize(
    "arguments",
    [
        ["build", BAD],
        ["build", "https://[x]/a.git#b"],
        ["build", "-f", BAD, "."],
        ["build", "//[x"],
        ["import", BAD],
        ["login", "-u", "a", "-p", "b", BAD],
        ["login", "-u", "a", "-p", "b", "[::1"],
        ["search", "[::bad/x"],
        ["pull", "host.invalid:99999/x"],
    ],
)
def test_what_is_no_address_is_an_error(cli: Cli, arguments: list[str]) -> None:
    error = cli(*arguments, code=1).err

    assert any(part in error for part in ("[::bad", "[x", "[::1", "host.invalid:99999"))


@pytest.mark.parametrize("url", [BAD, "https://[x]/a.git"])
def test_a_named_context_that_is_no_address_is_an_error(cli: Cli, tmp_path: Path, url: str) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY --from=x a b\n")

    assert f'Dockerfile:2: bad URL "{url}"' in cli("build", "--build-context", f"x={url}", tmp_path, code=1).err


@pytest.mark.parametrize("proxy", ["http://[::bad", "host:99999", "::::"])
def test_a_proxy_that_is_no_address_is_an_error(cli: Cli, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("https_proxy", proxy)

    for arguments in (["pull", "host.invalid/x"], ["import", "http://host.invalid/x"]):
        assert "no address" in cli(*arguments, code=1).err


def test_an_unreachable_server_is_named_in_words(tmp_path: Path) -> None:
    with pytest.raises(ContextError) as caught:
        requester(tmp_path, lambda _url: "", "")("http://127.0.0.1:1/x.tar?token=secret", {})

    assert caught.value.message.startswith("cannot fetch http://127.0.0.1:1/x.tar: cannot connect: ")
    assert "Pool" not in caught.value.message


def test_a_download_tells_its_proxy_who_asks(tmp_path: Path) -> None:
    """As ``http_proxy=user:password@host:port`` says, with ``http://`` before it or without."""
    seen: list[str | None] = []

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Proxy-Authorization"])
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for scheme in ("http://", ""):
            proxy = f"{scheme}user:pass@127.0.0.1:{server.server_port}"
            requester(tmp_path, lambda _url, to=proxy: to, "")("http://host.invalid/x", {})  # type: ignore[misc]
        server.shutdown()

    assert ["Basic dXNlcjpwYXNz"] * 2 == seen
