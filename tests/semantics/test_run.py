"""What a command finds around itself, and what its mounts are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.semantics.traps import trap

if TYPE_CHECKING:
    from tests.semantics.bench import Bench


@trap(67)
def test_a_command_has_the_stages_variables_and_no_others(machine: Bench) -> None:
    text = (
        "FROM busybox\nARG a=1 b\nARG c=arg\nENV c=env d=\nUSER web\n"
        "RUN env | grep -v -e ^PWD -e ^SHLVL -e ^OLDPWD | sort > /tmp/env; umask > /tmp/mask\n"
    )

    built = machine.build(text, (), variables={"OUTSIDE": "1", "TERM": "xterm"})

    expected = ["BASE=busybox", "HOME=/srv", "a=1", "c=env", "d="]
    assert expected == [line for line in built.text("tmp/env").splitlines() if not line.startswith("PATH=")]
    assert "0022\n" == built.text("tmp/mask")


@trap(67)
def test_setuid_programs_may_work(machine: Bench) -> None:
    built = machine.build("FROM busybox\nUSER web\nRUN grep NoNewPrivs /proc/self/status > /tmp/privileges\n")

    assert "NoNewPrivs:\t0\n" == built.text("tmp/privileges")


@trap(68)
def test_secrets_are_files_or_variables_and_may_be_missing(machine: Bench) -> None:
    text = (
        "FROM busybox\nRUN --mount=type=secret,id=s stat -c '%a %u:%g %s' /run/secrets/s > /stat\n"
        "RUN --mount=type=secret,id=s,env=S echo ${#S} > /env; ls /run/secrets 2>/dev/null >> /env || true\n"
        "RUN --mount=type=secret,id=other ls /run/secrets > /other 2>&1 || echo none > /other\n"
    )
    context = machine.context(text)
    (context / "secret").write_text("1234567")

    built = machine.again(context, f"--secret=id=s,src={context}/secret")

    assert ("400 0:0 7\n", "7\n", "none\n") == (built.text("stat"), built.text("env"), built.text("other"))
    (context / "secret").write_text("another")
    assert 3 == machine.again(context, f"--secret=id=s,src={context}/secret").cached


@trap(68)
def test_a_required_secret_is_required(machine: Bench) -> None:
    error = machine.fails("FROM busybox\nRUN --mount=type=secret,id=never,required true\n")

    assert "ERROR: Dockerfile:2: " in error
    assert "never" in error


@trap(69)
def test_a_cache_is_known_by_its_target(machine: Bench) -> None:
    mount = "--mount=type=cache,target=/trap69/../cache69/,uid=5,gid=6,mode=700"
    text = (
        f"FROM busybox\nRUN {mount} echo one > /cache69/f; stat -c '%a %u:%g' /cache69 > /first\n"
        "RUN --mount=type=cache,target=/cache69,mode=777 cat /cache69/f > /second; stat -c %a /cache69 >> /second\n"
        "RUN --mount=type=cache,target=/elsewhere,id=/cache69 cat /elsewhere/f > /third\n"
    )

    built = machine.build(text)

    assert ("700 5:6\n", "one\n700\n", "one\n") == (built.text("first"), built.text("second"), built.text("third"))


@trap(69)
def test_a_cache_may_begin_with_files(machine: Bench) -> None:
    text = (
        "FROM scratch AS seed\nCOPY f /dir/f\nFROM busybox\n"
        "RUN --mount=type=cache,target=/seeded69,from=seed,source=/dir cat /seeded69/f > /out\n"
    )

    assert "seed" == machine.build(text, {"f": "seed"}).text("out")


@trap(69)
def test_what_is_written_to_a_bind_mount_is_lost(machine: Bench) -> None:
    text = (
        "FROM busybox\nRUN --mount=type=bind,target=/c echo x 2>/dev/null > /c/new || echo read-only > /r\n"
        "RUN --mount=type=bind,target=/c,rw echo x > /c/new && echo y > /c/f && cat /c/f > /w\n"
    )
    context = machine.context(text, {"f": "old"})

    built = machine.again(context)

    assert ("read-only\n", "y\n") == (built.text("r"), built.text("w"))
    assert ("old", False) == ((context / "f").read_text(), (context / "new").exists())
    assert "c" not in built.paths
