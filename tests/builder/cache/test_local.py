"""Records of steps on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.cache.cache import Record
from builder.cache.key import CacheKey, cache_key
from builder.cache.local import LocalCache, WriteOnlyCache
from layers.digest import Digest
from layers.mediatype import OCI_LAYER_GZIP, OCI_LAYER_ZSTD
from layers.model import Descriptor

if TYPE_CHECKING:
    from pathlib import Path

KEY = cache_key("RUN", None, {"arguments": ["x"]})
RECORD = Record(
    Digest.of(b"tar"),
    "2020-01-01T00:00:00Z",
    {
        "gzip": Descriptor(OCI_LAYER_GZIP, Digest.of(b"gz"), 2),
        "zstd": Descriptor(OCI_LAYER_ZSTD, Digest.of(b"zst"), 3),
    },
)


def test_what_is_put_is_got_again(tmp_path: Path) -> None:
    LocalCache(tmp_path / "steps").put(KEY, RECORD)
    assert LocalCache(tmp_path / "steps").get(KEY) == RECORD


def test_an_unknown_key_gives_nothing(tmp_path: Path) -> None:
    assert LocalCache(tmp_path).get(KEY) is None


def test_a_damaged_record_gives_nothing(tmp_path: Path) -> None:
    cache = LocalCache(tmp_path)
    cache.put(KEY, RECORD)
    path = tmp_path / str(KEY)
    for damaged in (b"", b"{", b"[]", b'{"diff_id": 1}', path.read_bytes()[:-5]):
        path.write_bytes(damaged)
        assert cache.get(KEY) is None


def test_without_cache_nothing_is_found_and_everything_remembered(tmp_path: Path) -> None:
    cache = LocalCache(tmp_path)
    WriteOnlyCache(cache).put(KEY, RECORD)
    assert WriteOnlyCache(cache).get(KEY) is None
    assert cache.get(KEY) == RECORD


def test_all_blobs_of_all_records_are_known(tmp_path: Path) -> None:
    cache = LocalCache(tmp_path)
    assert cache.blobs() == set()
    cache.put(KEY, RECORD)
    assert {Digest.of(b"gz"), Digest.of(b"zst")} == cache.blobs()


def test_keys_differ_by_kind_parent_and_meaning_and_by_nothing_else() -> None:
    meaning = {"b": 1, "a": ["x"]}
    parent = Digest.of(b"parent")
    keys = {
        cache_key("RUN", None, meaning),
        cache_key("RUN", parent, meaning),
        cache_key("COPY", None, meaning),
        cache_key("RUN", None, {**meaning, "a": ["y"]}),
    }
    assert len(keys) == 4
    assert cache_key("RUN", None, {"a": ["x"], "b": 1}) == cache_key("RUN", None, meaning)
    assert isinstance(KEY, CacheKey)


def test_an_action_is_known_once_it_has_a_record(tmp_path: Path) -> None:
    cache, action = LocalCache(tmp_path / "steps"), cache_key("COPY", None, {})
    assert not cache.may_have(action)

    cache.put(KEY, RECORD, action)

    assert cache.may_have(action)
    assert not WriteOnlyCache(cache).may_have(action)
    assert [RECORD] == [record for _, record in cache.records()]


def test_layers_of_a_form_are_known_newest_first_and_not_many(tmp_path: Path) -> None:
    cache, form = LocalCache(tmp_path / "steps"), cache_key("form", None, {})
    assert [] == cache.of_form(form)
    digests = [Digest.of(b"%d" % number) for number in range(6)]
    for digest in [*digests, digests[3]]:
        cache.put(
            KEY, Record(RECORD.diff_id, RECORD.created, {"gzip": Descriptor(OCI_LAYER_GZIP, digest, 1)}), None, form
        )

    assert [digests[3], digests[5], digests[4], digests[2]] == cache.of_form(form)
    assert [] == cache.of_form(KEY)
    assert [] == WriteOnlyCache(cache).of_form(form)


def test_a_damaged_list_of_layers_is_as_good_as_none(tmp_path: Path) -> None:
    cache, form = LocalCache(tmp_path / "steps"), cache_key("form", None, {})
    cache.put(KEY, RECORD, None, form)
    for damaged in (b"", b"sha256:0", b"\xff", b"../../etc/passwd"):
        (tmp_path / "forms" / str(form)).write_bytes(damaged)

        assert [] == cache.of_form(form)


def test_a_record_under_another_key_is_none(tmp_path: Path) -> None:
    cache, other = LocalCache(tmp_path), cache_key("COPY", None, {})
    cache.put(KEY, RECORD)
    (tmp_path / str(KEY)).rename(tmp_path / str(other))

    assert cache.get(other) is None
    assert [] == list(cache.records())
    assert [tmp_path / str(other)] == cache.paths()


def test_a_record_of_an_earlier_version_is_none(tmp_path: Path) -> None:
    """It bore no checksum."""
    cache = LocalCache(tmp_path)
    cache.put(KEY, RECORD)
    path = tmp_path / str(KEY)
    path.write_bytes(path.read_bytes()[:-66])

    assert cache.get(KEY) is None
