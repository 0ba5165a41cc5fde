"""What instructions leave in the image's config, and who runs commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layers.config import ContainerConfig
from layers.platform import Platform
from tests.semantics.traps import trap
from tests.support.images import image, layer

if TYPE_CHECKING:
    from tests.semantics.bench import Bench

HOST = Platform.host()


@trap(28)
def test_entrypoint_clears_what_is_inherited(bench: Bench) -> None:
    bench.put("base", image(layer(), platform=HOST, config=ContainerConfig(cmd=("base",))))

    assert "Cmd" not in bench.build('FROM base\nENTRYPOINT ["e"]').config
    assert ["own"] == bench.build('FROM base\nCMD ["own"]\nENTRYPOINT ["e"]').config["Cmd"]
    assert "Cmd" not in bench.build('FROM scratch AS a\nCMD ["stage"]\nFROM a\nENTRYPOINT ["e"]').config
    assert ["base"] == bench.build("FROM base\nENV a=b").config["Cmd"]


@trap(29)
def test_empty_commands(bench: Bench) -> None:
    config = bench.build("FROM scratch\nENTRYPOINT []\nCMD []\n").config
    assert (None, None, True) == (config.get("Entrypoint"), config.get("Cmd"), config["ArgsEscaped"])

    bench.put("base", image(layer(), platform=HOST, config=ContainerConfig(cmd=("c",), entrypoint=("e",))))
    config = bench.build("FROM base\nENTRYPOINT []\nCMD []\n").config
    assert (None, None) == (config.get("Entrypoint"), config.get("Cmd"))
    assert ["/bin/sh", "-c", ""] == bench.build("FROM scratch\nCMD\n").config["Cmd"]
    assert "ArgsEscaped" not in bench.build('FROM scratch\nENTRYPOINT ["a"]\n').config


@trap(30)
def test_the_shell_is_inherited_and_left_out_of_health_checks(bench: Bench) -> None:
    bench.put("base", image(layer(), platform=HOST, config=ContainerConfig(shell=("/bin/base", "-b"))))
    text = "{}\nCMD a  b\nENTRYPOINT c\nHEALTHCHECK CMD d  e\n"

    own = bench.build(text.format('FROM scratch AS s\nSHELL ["/bin/x", "-y"]\nFROM s')).config
    inherited = bench.build(text.format("FROM base")).config

    assert (["/bin/x", "-y", "a  b"], ["/bin/x", "-y", "c"]) == (own["Cmd"], own["Entrypoint"])
    assert ["CMD-SHELL", "d  e"] == own["Healthcheck"]["Test"]
    assert ["/bin/base", "-b", "a  b"] == inherited["Cmd"]


@trap(31)
def test_health_checks_are_in_nanoseconds(bench: Bench) -> None:
    text = "FROM scratch\nHEALTHCHECK --interval=1m30s --retries=2 CMD a\n"
    check = bench.build(text).config["Healthcheck"]

    assert {"Test": ["CMD-SHELL", "a"], "Interval": 90_000_000_000, "Retries": 2} == check
    assert {"Test": ["NONE"]} == bench.build("FROM scratch\nHEALTHCHECK none\n").config["Healthcheck"]


@trap(31)
@pytest.mark.parametrize(
    "text",
    ["--interval=1us CMD a", "--interval=-1s CMD a", "--timeout=x CMD a", "--retries=-1 CMD a", "CMD", "NONE a", "a"],
)
def test_wrong_health_checks_are_errors(bench: Bench, text: str) -> None:
    assert "ERROR: Dockerfile:2: " in bench.fails(f"FROM scratch\nHEALTHCHECK {text}")


@trap(31)
def test_flags_of_a_health_check_come_first(bench: Bench) -> None:
    config = bench.build("FROM scratch\nHEALTHCHECK CMD --interval=5s true\n").config

    assert {"Test": ["CMD-SHELL", "--interval=5s true"]} == config["Healthcheck"]


@trap(32)
def test_ports_are_sorted_expanded_and_made_plain(bench: Bench) -> None:
    text = 'FROM scratch\nENV r="81-82/UDP 7" none=\nEXPOSE 9 $r 80-81 53/sctp 127.0.0.1:1:22 $none\n'

    built = bench.build(text)

    expected = ["22/tcp", "53/sctp", "7/tcp", "80/tcp", "81/tcp", "81/udp", "82/udp", "9/tcp"]
    assert expected == sorted(built.config["ExposedPorts"])
    assert "EXPOSE [81/udp 82/udp 7/tcp 22/tcp 53/sctp 80/tcp 81/tcp 9/tcp]" == built.history[-1]


@trap(33)
def test_what_is_below_a_volume_stays(machine: Bench) -> None:
    text = "FROM busybox\nVOLUME /data /more\nRUN mkdir /data && echo x > /data/run\nCOPY f /data/\n"

    built = machine.build(text, {"f": "y"})

    assert ("x\n", "y") == (built.text("data/run"), built.text("data/f"))
    assert {"/data": {}, "/more": {}} == built.config["Volumes"]


@trap(34)
@pytest.mark.parametrize("signal", ["SIGTERM", "term", "9", "SIGRTMIN+3", "Int"])
def test_a_signal_is_kept_as_written(bench: Bench, signal: str) -> None:
    assert signal == bench.build(f"FROM scratch\nENV s={signal}\nSTOPSIGNAL $s\n").config["StopSignal"]


@trap(34)
def test_what_is_no_signal_is_an_error(bench: Bench) -> None:
    assert "ERROR: Dockerfile:2: " in bench.fails("FROM scratch\nSTOPSIGNAL SIGNOTHING")


@trap(35)
def test_users_are_looked_up_in_the_image(machine: Bench) -> None:
    steps = "".join(
        f'USER {user}\nRUN echo "$(id -u):$(id -g):$(id -G):$HOME" >> /tmp/ids\n'
        for user in ("web", "web:extra", "33", "777", "777:888", "0")
    )

    built = machine.build(f"FROM busybox\nRUN : > /tmp/ids && chmod 666 /tmp/ids\n{steps}USER Web$x:$x\n")

    expected = ["33:33:33 44:/srv", "33:44:44:/srv", "33:33:33 44:/srv", "777:0:0:/", "777:888:888:/", "0:0:0:/root"]
    assert expected == built.text("tmp/ids").splitlines()
    assert "Web:" == built.config["User"]


@trap(35)
def test_an_unknown_user_is_an_error_when_something_runs(machine: Bench) -> None:
    assert "nobody-here" == machine.build("FROM busybox\nUSER nobody-here\nLABEL a=35\n").config["User"]
    assert "ERROR: Dockerfile:3: " in machine.fails("FROM busybox\nUSER nobody-here\nRUN true\n")


@trap(36)
def test_owners_are_looked_up_in_another_way(bench: Bench) -> None:
    files = {"etc/passwd": b"web:x:33:34::/:\n", "etc/group": b"web:x:34:\nextra:x:44:\n"}
    bench.put("base", image(layer(files), platform=HOST))
    owners = ["1001", "web", "web:extra", "5:6", "unknown", "web:unknown", "7:extra", "33"]
    text = "FROM base\n" + "".join(f"COPY --chown={owner} f /{i}\n" for i, owner in enumerate(owners))

    built = bench.build(text, {"f": ""})

    expected = [(1001, 1001), (33, 34), (33, 44), (5, 6), (0, 0), (33, 34), (7, 44), (33, 33)]
    assert expected == [(built.files[str(i)].uid, built.files[str(i)].gid) for i in range(len(owners))]
    assert "WARN: UnknownOwner: the image has no user or group 'unknown'" in built.err


@trap(36)
def test_without_a_user_file_names_are_root(bench: Bench) -> None:
    built = bench.build("FROM scratch\nCOPY --chown=web:web f /\n", {"f": ""})

    assert (0, 0) == (built.files["f"].uid, built.files["f"].gid)
    assert "UnknownOwner" in built.err


@trap(37)
def test_working_directories_are_relative_and_made(bench: Bench) -> None:
    bench.put("base", image(layer({"srv/": b""}), platform=HOST, config=ContainerConfig(working_dir="/srv")))
    text = "FROM base\nWORKDIR a\nWORKDIR b/../c\nUSER 5:6\nWORKDIR /x/y/\nWORKDIR /srv\nWORKDIR /\nWORKDIR z\n"

    built = bench.build(text)

    assert "/z" == built.config["WorkingDir"]
    assert ["WORKDIR /srv/a", "WORKDIR /srv/a/c"] == built.history[1:3]
    assert ["WORKDIR /x/y/", "WORKDIR /srv", "WORKDIR /", "WORKDIR /z"] == built.history[4:]
    owners = {path: (entry.mode, entry.uid, entry.gid) for path, entry in built.files.items()}
    assert ((0o755, 0, 0), (0o755, 5, 6), (0o755, 5, 6)) == (owners["srv/a/c"], owners["x"], owners["x/y"])
    assert [False, False, False, True, False, False, True, False] == [
        entry.get("empty_layer", False) for entry in built.document["history"]
    ]
