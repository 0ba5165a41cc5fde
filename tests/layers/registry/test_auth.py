"""Challenges, tokens, and who gets which secret."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.errors import AuthenticationError
from layers.reference import Reference
from layers.registry.auth import Challenge, merge_scopes, parse_challenges, repository_of
from layers.registry.client import Client
from layers.registry.credentials import Credential, Lookup
from layers.registry.transfer import pull, push
from tests.support.faults import drop_after, status
from tests.support.images import content_of, image, layer
from tests.support.registry import PASSWORD, REFRESH, USER, Registry, basic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layers.registry.settings import Settings
    from tests.support.registry import Handler


@pytest.fixture
def guarded() -> Iterator[Registry]:
    with Registry(auth="bearer", anonymous=True) as registry:
        yield registry


def always(credential: Credential) -> Lookup:
    return lambda _registry, _repository: credential


def of(registry: Registry, name: str = "app", tag: str = "1") -> Reference:
    return Reference.parse(f"{registry.address}/{name}:{tag}")


THE_USER = always(Credential(USER, PASSWORD))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Basic", [Challenge("basic", {})]),
        ('Basic realm="a, b"', [Challenge("basic", {"realm": "a, b"})]),
        (
            'Bearer realm="https://auth/token",service="s",scope="repository:a/b:pull,push"',
            [Challenge("bearer", {"realm": "https://auth/token", "service": "s", "scope": "repository:a/b:pull,push"})],
        ),
        ('BEARER  Realm = "x" , service=plain', [Challenge("bearer", {"realm": "x", "service": "plain"})]),
        (
            'Negotiate, Basic realm="r", Bearer realm="https://x"',
            [
                Challenge("negotiate", {}),
                Challenge("basic", {"realm": "r"}),
                Challenge("bearer", {"realm": "https://x"}),
            ],
        ),
        (r'Basic realm="say \"hi\""', [Challenge("basic", {"realm": 'say "hi"'})]),
        ('Bearer realm="first",realm="second"', [Challenge("bearer", {"realm": "first"})]),
        ('realm="nobody"', []),
        ("", []),
    ],
)
def test_challenges_are_read(header: str, expected: list[Challenge]) -> None:
    assert expected == list(parse_challenges([header]))


def test_challenges_come_in_several_headers() -> None:
    assert ["basic", "bearer"] == [each.scheme for each in parse_challenges(["Basic", 'Bearer realm="x"'])]


@given(st.lists(st.text(alphabet=st.characters(max_codepoint=300), max_size=60), max_size=3))
def test_no_header_is_too_strange(headers: list[str]) -> None:
    for each in parse_challenges(headers):
        assert each.scheme == each.scheme.lower()


def test_scopes_of_one_repository_are_one_scope() -> None:
    merged = merge_scopes(("repository:a:pull,push", "repository:b:pull"), ("repository:a:delete,pull",))
    assert ("repository:a:delete,pull,push", "repository:b:pull") == merged
    assert ("repository:host:5000/a:pull",) == merge_scopes(("repository:host:5000/a:pull",))


def test_a_scope_tells_its_repository() -> None:
    assert ["a/b", "", ""] == [repository_of(each) for each in (("repository:a/b:pull",), ("registry:catalog:*",), ())]


def test_anybody_may_pull_with_a_token_for_anybody(guarded: Registry, client: Client) -> None:
    stored = image(layer())
    guarded.add(stored)
    assert content_of(stored) == content_of(pull(of(guarded), client=client))
    tokens = guarded.asked("GET", "/token")
    assert [["repository:app:pull"]] == [each.query["scope"] for each in tokens]
    assert [(["test"], None)] == [(each.query["service"], each.headers.get("authorization")) for each in tokens]


def test_strangers_may_not_push(guarded: Registry, client: Client) -> None:
    with pytest.raises(AuthenticationError, match=r"401.*UNAUTHORIZED") as caught:
        push(image(layer()), of(guarded), client=client)
    assert f"check that the name is right, and log in with: pybuild login {guarded.address}" == caught.value.hint


def test_the_user_may_push(guarded: Registry, settings: Settings) -> None:
    with Client(settings, THE_USER) as client:
        push(image(layer()), of(guarded), client=client)
    assert "1" in guarded.repositories["app"].tags
    tokens = guarded.asked("GET", "/token")
    assert [(["user"], basic(USER, PASSWORD))] == [
        (each.query["account"], each.headers["authorization"]) for each in tokens
    ]


def test_a_password_goes_to_the_token_server_only(guarded: Registry, settings: Settings) -> None:
    with Client(settings, THE_USER) as client:
        push(image(layer()), of(guarded), client=client)
    for each in guarded.seen:
        assert each.path == "/token" or not each.headers.get("authorization", "").startswith("Basic")


@pytest.mark.parametrize("credential", [Credential(USER, PASSWORD), Credential(identity_token=REFRESH)])
def test_a_token_that_breaks_off_is_asked_for_again(
    guarded: Registry, settings: Settings, credential: Credential
) -> None:
    guarded.add(image(layer()))
    method = "POST" if credential.identity_token else "GET"
    guarded.fault(method, "/token", drop_after(5))
    with Client(settings, always(credential)) as client:
        pull(of(guarded), client=client)
    assert 2 == len(guarded.asked(method, "/token"))


def test_an_identity_token_is_exchanged(guarded: Registry, settings: Settings) -> None:
    with Client(settings, always(Credential(identity_token=REFRESH))) as client:
        push(image(layer()), of(guarded), client=client)
    (asked,) = guarded.asked("POST", "/token")
    assert b"grant_type=refresh_token" in asked.body
    assert b"scope=repository%3Aapp%3Apull%2Cpush" in asked.body


def test_a_registry_token_is_sent_as_it_is(guarded: Registry, settings: Settings) -> None:
    guarded.add(image(layer()))
    guarded.tokens["given"] = {"repository:app:pull"}
    with Client(settings, always(Credential(registry_token="given"))) as client:
        client.repository(of(guarded)).resolve("1")
    assert [] == guarded.asked("GET", "/token")


def test_basic_authentication(settings: Settings) -> None:
    with Registry(auth="basic") as registry:
        with Client(settings, THE_USER) as client:
            push(image(layer()), of(registry), client=client)
        refused = [each for each in registry.seen if each.headers.get("authorization") is None]
        assert {"/v2/", "/v2/app/blobs/" + str(image(layer()).layers[0].descriptor.digest)} == {
            each.path for each in refused
        }


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_a_wrong_password_ends_with_advice(settings: Settings, auth: str) -> None:
    with Registry(auth="basic" if auth == "basic" else "bearer") as registry:
        with (
            Client(settings, always(Credential(USER, "wrong"))) as client,
            pytest.raises(AuthenticationError) as caught,
        ):
            client.repository(of(registry)).resolve("1")
        assert "wrong" not in str(caught.value)
        assert "pybuild login" in caught.value.hint
        assert len(registry.seen) < 6


def test_a_login_is_checked(settings: Settings, client: Client) -> None:
    with Registry(auth="bearer") as registry:
        client.check_login(registry.address, USER, PASSWORD)
        with pytest.raises(AuthenticationError, match="refuses the user 'user'") as caught:
            client.check_login(registry.address, USER, "wrong")
        assert "access token" in caught.value.hint


def test_a_registry_that_never_agrees_is_asked_twice(registry: Registry, settings: Settings) -> None:
    """No loop: a fresh token that is refused as well ends it."""
    challenge = f'Bearer realm="{registry.url}/token"'
    registry.fault("HEAD", "/v2/app", status(401, WWW_Authenticate=challenge), times=99)
    with Client(settings, THE_USER) as client, pytest.raises(AuthenticationError):
        client.repository(of(registry)).resolve("1")
    assert 2 == len(registry.asked("HEAD"))


def test_a_token_that_ended_is_replaced(guarded: Registry, client: Client) -> None:
    guarded.add(image(layer()))
    repository = client.repository(of(guarded))
    repository.resolve("1")
    guarded.tokens.clear()
    repository.resolve("1")
    assert 2 == len(guarded.asked("GET", "/token"))


def test_a_token_is_asked_for_once_by_many_threads(guarded: Registry, client: Client) -> None:
    guarded.add(image(layer()))
    repository = client.repository(of(guarded))
    repository.resolve("1")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: repository.resolve("1"), range(32)))
    assert 1 == len(guarded.asked("GET", "/token"))


def test_known_challenges_spare_the_refused_request(guarded: Registry, client: Client) -> None:
    for name in ("app", "other"):
        guarded.add(image(layer()), name)
        client.repository(of(guarded, name)).resolve("1")
    assert [False, True, True] == ["authorization" in each.headers for each in guarded.asked("HEAD")]


@pytest.mark.parametrize(
    "realm",
    [
        "http://auth.example/token",
        "ftp://auth.example/",
        "//auth.example",
        "https://user@auth.example/",
        "",
        "https://[",
    ],
)
def test_a_token_server_must_be_safe(guarded: Registry, settings: Settings, realm: str) -> None:
    guarded.realm = realm or " "
    with Client(settings, THE_USER) as client, pytest.raises(AuthenticationError, match=r"token server.*not safe"):
        client.repository(of(guarded)).resolve("1")


def test_another_host_is_given_no_token(registry: Registry, storage: Registry, settings: Settings) -> None:
    """Where blobs are kept may refuse and challenge, and learns nothing."""
    pushed = image(layer())
    registry.add(pushed)
    registry.fault("GET", "/blobs/", status(307, Location=f"{storage.url}/blob"), times=9)
    challenge = f'Bearer realm="{storage.url}/token"'
    storage.fault("GET", "/blob", status(401, WWW_Authenticate=challenge), times=9)
    with Client(settings, THE_USER) as client, pytest.raises(AuthenticationError):
        pull(of(registry), client=client)
    assert {None} == {each.headers.get("authorization") for each in storage.seen}
    assert [] == storage.asked("GET", "/token")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"<html>log in here</html>", "not JSON"),
        (b"[]", "not an object"),
        (b"{}", "holds no token"),
        (b'{"token": 5}', "is a int"),
        (b'{"token": "a\\r\\nHost: evil"}', "characters that no header may have"),
    ],
)
def test_a_token_server_that_talks_nonsense(guarded: Registry, client: Client, answer: bytes, said: str) -> None:
    guarded.fault("GET", "/token", status(200, answer))
    with pytest.raises(AuthenticationError, match=said):
        client.repository(of(guarded)).resolve("1")


def test_an_unknown_scheme_is_an_error(registry: Registry, client: Client) -> None:
    registry.fault("HEAD", "/v2/app", status(401, WWW_Authenticate="Negotiate"))
    with pytest.raises(AuthenticationError, match="401"):
        client.repository(of(registry)).resolve("1")


def test_forbidden_is_an_authentication_error(registry: Registry, client: Client) -> None:
    registry.fault("HEAD", "/v2/app", status(403))
    with pytest.raises(AuthenticationError, match="403 Forbidden"):
        client.repository(of(registry)).resolve("1")


def test_mounting_asks_for_both_repositories(settings: Settings) -> None:
    with Registry(auth="bearer") as registry, Client(settings, THE_USER) as client:
        registry.add(image(layer()), "base")
        base = pull(of(registry, "base"), client=client)
        push(base, of(registry, "derived"), client=client)
        assert ["repository:derived:pull,push", "repository:base:pull"] in [
            each.query["scope"] for each in registry.asked("GET", "/token")
        ]


@pytest.mark.parametrize("credential", [Credential(USER, "password-1"), Credential(identity_token="identity-1")])
def test_what_a_server_says_back_of_a_secret_is_hidden(
    guarded: Registry, settings: Settings, credential: Credential
) -> None:
    """Also where the message is cut in its middle."""

    def echo(handler: Handler) -> bool:
        given = (handler.headers.get("Authorization") or "").removeprefix("Basic ")
        said = f"{handler.body.decode()} {given} {base64.b64decode(given).decode()}"
        handler.answer(401, json.dumps({"errors": [{"code": "X", "message": "x" * 290 + said}]}).encode())
        return True

    guarded.fault("POST" if credential.identity_token else "GET", "/token", echo, times=9)
    with Client(settings, always(credential)) as client, pytest.raises(AuthenticationError) as caught:
        client.ping(guarded.address)
    assert "xxx" in caught.value.message
    assert not any(each in caught.value.message for each in ("password", "identi", "dXNlcj"))
