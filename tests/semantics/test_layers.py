"""What is in a layer's tar, in the history and in the config's times."""

from __future__ import annotations

import datetime as dt
import tarfile
from typing import TYPE_CHECKING

from layers.config import ContainerConfig
from layers.platform import Platform
from tests.semantics.traps import trap
from tests.support.images import image, layer, layer_of_tar
from tests.support.material import tar_of

if TYPE_CHECKING:
    from tests.semantics.bench import Bench

HOST = Platform.host()
EPOCH = 1_100_000_000


@trap(56)
def test_the_history_is_in_the_words_of_buildkit(machine: Bench) -> None:
    text = r"""FROM busybox
ARG A=1 B
ARG HTTP_PROXY
ENV E="x y" F=$A
LABEL l="a b"
RUN echo $A
RUN ["echo", "a b"]
COPY --from=busybox --chown=1:2 --chmod=600 --link /etc/motd /m
COPY --parents --exclude=x f d/g /p/
COPY <<EOF <<"TWO" /h/
EOF
TWO
ADD f /added
WORKDIR w
USER web
EXPOSE 443 80/udp
VOLUME ["/b c", "/a"]
STOPSIGNAL SIGINT
SHELL ["/bin/ash", "-c"]
CMD echo "hi"
ENTRYPOINT ["/e", "\t"]
HEALTHCHECK --interval=5m --timeout=1.5s CMD curl x
MAINTAINER me
"""

    built = machine.build(text, {"f": "", "d/g": ""}, "--build-arg=B=2", "--build-arg=HTTP_PROXY=p")

    assert [
        "ARG A=1 B=2",
        "ARG HTTP_PROXY=p",
        "ENV E=x y F=1",
        "LABEL l=a b",
        "RUN |3 A=1 B=2 HTTP_PROXY=p /bin/sh -c echo $A # buildkit",
        "RUN |3 A=1 B=2 HTTP_PROXY=p echo a b # buildkit",
        "COPY --chown=1:2 --chmod=600 /etc/motd /m # buildkit",
        "COPY --parents f d/g /p/ # buildkit",
        "COPY <<EOF <<TWO /h/ # buildkit",
        "ADD f /added # buildkit",
        "WORKDIR /w",
        "USER web",
        "EXPOSE [443/tcp 80/udp]",
        "VOLUME [/b c /a]",
        "STOPSIGNAL SIGINT",
        "SHELL [/bin/ash -c]",
        'CMD ["/bin/ash" "-c" "echo \\"hi\\""]',
        'ENTRYPOINT ["/e" "\\t"]',
        "HEALTHCHECK {Test:[CMD-SHELL curl x] Interval:5m0s Timeout:1.5s StartPeriod:0s StartInterval:0s Retries:0}",
        "MAINTAINER me",
    ] == built.history[2:]
    assert {"buildkit.dockerfile.v0"} == {entry["comment"] for entry in built.document["history"][2:]}


@trap(57)
def test_files_make_layers_even_where_nothing_changes(machine: Bench) -> None:
    text = "FROM busybox\nRUN true\nCOPY no*thing /\nWORKDIR /srv\nWORKDIR /\nENV a=b\nRUN echo 57 > /57 && rm /57\n"

    built = machine.build(text)

    empty = [entry.get("empty_layer", False) for entry in built.document["history"][2:]]
    assert [False, False, False, True, True, False] == empty
    assert 2 + 4 == len(built.image.layers)
    assert [] == built.members(2)


@trap(58)
def test_times_of_steps_without_layers_are_those_beside_them(bench: Bench) -> None:
    document = bench.build("FROM scratch\nENV a=b\nCOPY f /\nENV c=d\n", {"f": ""}).document

    first, layered, last = (entry["created"] for entry in document["history"])
    assert first == layered == last == document["created"]


@trap(59)
def test_an_epoch_lowers_what_is_new(bench: Bench) -> None:
    base = image(layer_of_tar(tar_of([{"path": "old", "mtime": EPOCH + 5}])), platform=HOST)
    bench.put("base", base)
    text = "FROM base\nCOPY young old-enough /\nWORKDIR /w\nENV a=b\n"
    files = [{"path": "young", "mtime": EPOCH + 9}, {"path": "old-enough", "mtime": EPOCH - 9}]
    epoch = {"SOURCE_DATE_EPOCH": str(EPOCH)}
    then = dt.datetime.fromtimestamp(EPOCH, tz=dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    built = bench.build(text, files, variables=epoch)
    clamped = bench.build(text, files, "--output=type=image,rewrite-timestamp=true", variables=epoch)

    assert [then] * 3 == [entry["created"] for entry in built.document["history"][1:]]
    assert then == built.document["created"]
    times = {path: entry.mtime for path, entry in built.files.items()}
    assert (EPOCH + 5, EPOCH + 9, EPOCH - 9, EPOCH) == tuple(
        times[path] for path in ("old", "young", "old-enough", "w")
    )
    times = {path: entry.mtime for path, entry in clamped.files.items()}
    assert (EPOCH + 5, EPOCH, EPOCH - 9) == tuple(times[path] for path in ("old", "young", "old-enough"))
    assert base.layers[0].diff_id == clamped.image.layers[0].diff_id


@trap(59)
def test_the_same_input_gives_the_same_bytes(bench: Bench) -> None:
    text, files = "FROM scratch\nCOPY d /d\nWORKDIR /w\nLABEL a=b\n", {"d/f": "x"}

    ids = {
        str(bench.build(text, files, "--no-cache", variables={"SOURCE_DATE_EPOCH": "1"}).image.digest) for _ in range(2)
    }

    assert 1 == len(ids)


@trap(60)
def test_keys_are_sorted_and_unknown_ones_kept(bench: Bench) -> None:
    config = ContainerConfig(extra={"Zeta": 1, "Alpha": [2]}, labels={"b": "1", "a": "2"})
    bench.put("base", image(layer(), platform=HOST, config=config))

    built = bench.build("FROM base\nENV a=b\n")

    assert {"Zeta": 1, "Alpha": [2]}.items() <= built.config.items()
    assert sorted(built.document) == list(built.document)
    assert built.image.manifest_bytes.startswith(b'{\n  "schemaVersion": 2')


@trap(61)
def test_a_layer_is_a_plain_pax_archive(bench: Bench) -> None:
    name = "sub/" + "long" * 40
    bench.put("base", image(layer({"there/": b""}), platform=HOST))

    built = bench.build("FROM base\nCOPY . /there/\n", [{"path": name, "content": "x", "mtime": 123}])

    members = built.members()
    assert ["there", "there/Dockerfile", "there/sub", f"there/{name}"] == [member.name for member in members]
    assert {("", "")} == {(member.uname, member.gname) for member in members}
    assert 123 == members[-1].mtime == int(members[-1].mtime)
    assert {"path"} >= set(members[-1].pax_headers)
    assert [True, False, True, False] == [member.isdir() for member in members]


@trap(62)
def test_whiteouts_are_for_what_was_there(machine: Bench) -> None:
    text = (
        "FROM busybox\nRUN mkdir -p /o/d && echo 1 > /o/d/a && echo 2 > /o/d/b && echo 3 > /o/f\n"
        "RUN rm /o/f && rm -r /o/d && mkdir /o/d && echo 4 > /o/d/b && touch /o/new && rm /o/new\n"
        "RUN rm -r /o/d && echo file > /o/d\n"
    )

    built = machine.build(text)

    second, third = built.layer(-2), built.layer(-1)
    assert {"o/.wh.f", "o/d/.wh.a", "o/d/b", "o/d", "o"} == set(second)
    assert {"o", "o/d"} == set(third)
    marker = second["o/.wh.f"]
    assert (tarfile.REGTYPE, 0, 0, 0, 0, 0) == (
        marker.type, marker.size, marker.mode, marker.uid, marker.gid, int(marker.mtime),
    )  # fmt: skip
    assert ["o", "o/d"] == [path for path in built.paths if path.startswith("o")]


@trap(62)
def test_markers_in_a_base_hide_what_is_below_them(bench: Bench) -> None:
    lower = tar_of([{"path": "d/"}, {"path": "d/old"}, {"path": "e/"}, {"path": "e/old"}, {"path": "f"}])
    upper = tar_of([
        {"path": "d/"}, {"path": "d/new"}, {"path": "d/.wh..wh..opq"}, {"path": "e/"}, {"path": "e/.wh.old"},
        {"path": "e/.wh..wh.plnk"}, {"path": ".wh.f"},
    ])  # fmt: skip
    bench.put("base", image(layer_of_tar(lower), layer_of_tar(upper), platform=HOST))

    assert ["d", "d/new", "e", "x"] == bench.build("FROM base\nCOPY x /\n", {"x": ""}).paths


@trap(63)
def test_hard_links_point_to_the_first_name(machine: Bench) -> None:
    text = (
        "FROM busybox AS base\nRUN mkdir /h && echo x > /h/b && ln /h/b /h/a && ln /h/b /h/c && chmod 600 /h/b\n"
        "FROM scratch\nCOPY --from=base /h /copied\n"
    )

    for folder, options in (("h", "--target=base"), ("copied", "--target=")):
        members = machine.build(text, (), options).layer()
        found = [members[f"{folder}/{name}"] for name in "abc"]
        expected = [(tarfile.REGTYPE, ""), (tarfile.LNKTYPE, f"{folder}/a"), (tarfile.LNKTYPE, f"{folder}/a")]
        assert expected == [(member.type, member.linkname) for member in found]
        assert {0o600} == {member.mode for member in found}


@trap(64)
def test_directories_keep_their_time(machine: Bench) -> None:
    text = (
        "FROM busybox\nRUN mkdir -p /t/s && touch /t/s/f && touch -d @5 /t/s /t\nCOPY f /t/s/g\n"
        "RUN stat -c %Y /t /t/s > /seen\n"
    )

    built = machine.build(text, {"f": ""})

    assert "5\n5\n" == built.text("seen")
    assert (5, 5) == (built.files["t"].mtime, built.files["t/s"].mtime)


@trap(65)
def test_what_stays_as_it_was_is_not_in_the_layer(machine: Bench) -> None:
    text = (
        "FROM busybox\nRUN mkdir /u && echo same > /u/f && echo old > /u/g && touch -d @7 /u/f /u/g\n"
        "RUN cp -p /u/f /tmp/f && cp -p /tmp/f /u/f && rm /tmp/f && cat /u/f && chmod 644 /u/g && touch -d @9 /u\n"
    )

    layer_of_second = machine.build(text).layer()

    assert "u/f" not in layer_of_second
    assert "u/g" not in layer_of_second
    assert 9 == layer_of_second["u"].mtime


@trap(66)
def test_nothing_of_the_mounts_stays(machine: Bench) -> None:
    text = (
        "FROM busybox\nRUN touch -d @3 /srv /etc\n"
        "RUN --mount=type=tmpfs,target=/srv/a/b --mount=type=cache,target=/new/cache --mount=type=bind,target=/ctx "
        "echo x >> /etc/hosts; echo y > /srv/a/b/y; ls /ctx; mkdir /dev/shm/z; echo 66 > /kept\n"
    )

    built = machine.build(text)

    assert {"kept"} == set(built.layer())
    assert not {"etc/hosts", "etc/resolv.conf", "srv/a", "new", "ctx", "dev", "proc"} & set(built.paths)
    assert (3, 3) == (built.files["srv"].mtime, built.files["etc"].mtime)
