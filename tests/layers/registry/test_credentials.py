"""Files of credentials as Docker and Podman write them, and helpers."""

from __future__ import annotations

import base64
import json
import os
import stat
from typing import TYPE_CHECKING

import pytest

from layers.errors import InvalidError, RegistryError
from layers.registry.credentials import HUB_KEY, Credential, CredentialFiles

if TYPE_CHECKING:
    from pathlib import Path


class Keychain:
    """A credential helper."""

    def __init__(self) -> None:
        self.secrets: dict[str, tuple[str, str]] = {}
        self.calls: list[tuple[str, str]] = []

    def run(self, name: str, action: str, content: bytes) -> bytes:
        self.calls.append((name, action))
        if action == "store":
            source = json.loads(content)
            self.secrets[source["ServerURL"]] = (source["Username"], source["Secret"])
            return b""
        server = content.decode()
        if server not in self.secrets:
            raise RegistryError("credentials not found in native keychain")
        if action == "erase":
            del self.secrets[server]
            return b""
        user, secret = self.secrets[server]
        return json.dumps({"ServerURL": server, "Username": user, "Secret": secret}).encode()


def auth(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "docker" / "config.json"


def files(path: Path, source: object) -> CredentialFiles:
    path.parent.mkdir(exist_ok=True)
    path.write_text(source if isinstance(source, str) else json.dumps(source))
    return CredentialFiles([path])


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        ("host.example", "host.example"),
        ("https://host.example", "host.example"),
        ("https://host.example/v2/", "host.example"),
        ("http://host.example:5000/v1", "host.example:5000"),
        (HUB_KEY, "docker.io"),
        ("docker.io", "docker.io"),
        ("index.docker.io", "docker.io"),
        ("https://registry-1.docker.io", "docker.io"),
    ],
)
def test_keys_are_hosts_in_many_forms(path: Path, key: str, registry: str) -> None:
    found = files(path, {"auths": {key: {"auth": auth("me", "pass:word")}}}).get(registry)
    assert Credential("me", "pass:word") == found


def test_another_host_has_no_credential(path: Path) -> None:
    known = files(path, {"auths": {"host.example": {"auth": auth("me", "pw")}}})
    assert [None] * 4 == [known.get(each) for each in ("example", "host.example:5000", "ahost.example", "docker.io")]


def test_tokens_are_read(path: Path) -> None:
    known = files(path, {"auths": {"a": {"auth": auth("u", ""), "identitytoken": "i"}, "b": {"registrytoken": "r"}}})
    assert Credential("u", "", identity_token="i") == known.get("a")
    assert Credential(registry_token="r") == known.get("b")


def test_plain_user_and_password_are_read(path: Path) -> None:
    known = files(path, {"auths": {"a": {"username": "u", "password": "p"}}})
    assert Credential("u", "p") == known.get("a")


def test_the_narrowest_key_of_podman_wins(path: Path) -> None:
    known = files(
        path,
        {
            "auths": {
                "h": {"auth": auth("all", "")},
                "h/team": {"auth": auth("team", "")},
                "h/team/app": {"auth": auth("app", "")},
            }
        },
    )
    users = [found.username for name in ("team/app", "team/x", "teamwork", "") if (found := known.get("h", name))]
    assert ["app", "team", "all", "all"] == users


def test_the_first_file_that_knows_answers(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_text(json.dumps({"auths": {"one": {"auth": auth("a", "")}}}))
    second.write_text(json.dumps({"auths": {"one": {"auth": auth("b", "")}, "two": {"auth": auth("b", "")}}}))
    known = CredentialFiles([tmp_path / "none.json", first, second])
    assert [Credential("a"), Credential("b"), None] == [known.get(each) for each in ("one", "two", "three")]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{", "not JSON"),
        ("[]", "not an object"),
        ({"auths": []}, "auths is a list"),
        ({"auths": {"h": 1}}, r"auths\['h'\] is a int"),
        ({"auths": {"h": {"auth": "???"}}}, "not base64"),
        ({"auths": {"h": {"auth": base64.b64encode(b"nocolon").decode()}}}, "not base64 of user:password"),
        ({"auths": {"h": {"auth": 1}}}, "auth is a int"),
        ({"credsStore": "../evil"}, "no name of a credential helper"),
        ({"credHelpers": {"h": 1}}, "no name of a credential helper"),
    ],
)
def test_a_broken_file_is_named(path: Path, source: object, said: str) -> None:
    with pytest.raises(InvalidError, match=said) as caught:
        files(path, source).get("h")
    assert str(path) in str(caught.value)


def test_an_entry_of_another_registry_may_be_broken(path: Path) -> None:
    known = files(path, {"auths": {"broken": {"auth": "???"}, "h": {"auth": auth("u", "p")}}})
    assert Credential("u", "p") == known.get("h")


def test_an_empty_file_knows_nobody(path: Path) -> None:
    assert files(path, "\n").get("h") is None


def test_secrets_are_not_shown() -> None:
    assert "Credential(username='user')" == repr(Credential("user", "secret", "secret", "secret"))


def test_a_login_is_kept_for_the_owner_alone(path: Path) -> None:
    CredentialFiles([path]).store("h:5000", Credential("u", "p"))
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert {"auths": {"h:5000": {"auth": auth("u", "p")}}} == json.loads(path.read_text())
    assert [path.name] == os.listdir(path.parent)


def test_a_login_changes_nothing_else(path: Path) -> None:
    known = files(path, {"HttpHeaders": {"X": "y"}, "auths": {"other": {"auth": "x", "email": "e"}}, "plugins": {}})
    known.store("docker.io", Credential("u", "p", identity_token="t"))
    expected = {"other": {"auth": "x", "email": "e"}, HUB_KEY: {"auth": auth("u", "p"), "identitytoken": "t"}}
    assert {"HttpHeaders": {"X": "y"}, "auths": expected, "plugins": {}} == json.loads(path.read_text())
    assert Credential("u", "p", "t") == known.get("docker.io")


def test_a_linked_file_stays_linked(path: Path, tmp_path: Path) -> None:
    known = files(path, {})
    link = tmp_path / "link.json"
    link.symlink_to(path)
    CredentialFiles([link]).store("h", Credential("u", "p"))
    assert link.is_symlink()
    assert Credential("u", "p") == known.get("h")


def test_a_broken_file_is_not_overwritten(path: Path) -> None:
    known = files(path, "{broken")
    with pytest.raises(InvalidError):
        known.store("h", Credential("u", "p"))
    assert "{broken" == path.read_text()


def test_a_logout_forgets_every_form_of_the_key(path: Path) -> None:
    known = files(path, {"auths": {"h": {"auth": "x"}, "https://h/v2/": {"auth": "x"}, "h2": {"auth": "y"}}})
    assert known.erase("h")
    assert {"auths": {"h2": {"auth": "y"}}} == json.loads(path.read_text())
    assert not known.erase("h")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RegistryError, match="cannot read credentials"):
        CredentialFiles([tmp_path / "file" / "config.json"]).store("h", Credential("u", "p"))


def test_without_a_file_nothing_is_kept() -> None:
    with pytest.raises(RegistryError, match="no file"):
        CredentialFiles([]).store("h", Credential("u", "p"))


def test_helpers_keep_secrets_out_of_the_file(path: Path) -> None:
    files(path, {"credsStore": "desktop"})
    keychain = Keychain()
    known = CredentialFiles([path], keychain.run)
    known.store("docker.io", Credential("u", "p"))
    assert {HUB_KEY: ("u", "p")} == keychain.secrets
    assert {HUB_KEY: {}} == json.loads(path.read_text())["auths"]
    assert Credential("u", "p") == known.get("docker.io")
    assert known.erase("docker.io")
    assert {} == keychain.secrets
    assert known.get("docker.io") is None


def test_a_registry_may_have_its_own_helper(path: Path) -> None:
    files(path, {"credsStore": "desktop", "credHelpers": {"gcr.example": "gcloud"}})
    keychain = Keychain()
    known = CredentialFiles([path], keychain.run)
    known.get("gcr.example")
    known.get("other.example")
    assert [("gcloud", "get"), ("desktop", "get")] == keychain.calls


def test_a_helper_may_give_an_identity_token(path: Path) -> None:
    files(path, {"credsStore": "desktop"})
    keychain = Keychain()
    known = CredentialFiles([path], keychain.run)
    known.store("h", Credential(identity_token="t"))
    assert {"h": ("<token>", "t")} == keychain.secrets
    assert Credential(identity_token="t") == known.get("h")


def test_the_file_answers_where_the_helper_does_not_know(path: Path) -> None:
    files(path, {"credsStore": "desktop", "auths": {"h": {"auth": auth("u", "p")}}})
    assert Credential("u", "p") == CredentialFiles([path], Keychain().run).get("h")


def test_a_helper_that_fails_is_an_error(path: Path) -> None:
    files(path, {"credsStore": "desktop"})

    def fail(name: str, action: str, content: bytes) -> bytes:
        raise RegistryError("docker-credential-desktop: locked")

    with pytest.raises(RegistryError, match="locked"):
        CredentialFiles([path], fail).get("h")
    with pytest.raises(RegistryError, match="'desktop' cannot be run here"):
        CredentialFiles([path]).get("h")
    with pytest.raises(InvalidError, match="docker-credential-desktop"):
        CredentialFiles([path], lambda *_: b"nonsense").get("h")
