"""RUN --mount of every type, with real steps, as whoever runs the suite."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from layers.store.trees import Trees
from tests.support.programs import Pybuild, need, processes, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.conftest import Write

pytestmark = pytest.mark.e2e


def paths(pybuild: Pybuild, name: str, layer: int = -1) -> set[str]:
    """Give the names in one layer of an image."""
    image = pybuild.image(name)
    return {entry.path.decode() for entry in Trees(pybuild.layout).index(image.layers[layer]).entries}


def test_a_cache_is_kept_between_builds_and_out_of_the_layer(based: Pybuild, write: Write) -> None:
    script = "echo $N >> /var/cache/app/log && cat /var/cache/app/log > /out"
    text = f"FROM busybox\nARG N\nRUN --mount=type=cache,target=/var/cache/app {script}"
    context = write(text)
    based("-t", "a", "--build-arg", "N=1", context)
    done = based("-t", "a", "--build-arg", "N=2", "--progress=plain", context)

    assert not done.cached
    assert {"out"} == paths(based, "a")
    based("-t", "b", write('FROM a\nRUN test "$(cat /out)" = "$(printf \'1\\n2\')" && test ! -e /var/cache'))


@pytest.mark.parametrize("sharing", ["shared", "private", "locked"])
def test_a_cache_keeps_its_content_whatever_its_sharing(based: Pybuild, write: Write, sharing: str) -> None:
    mount = f"--mount=type=cache,id=one,target=/c,sharing={sharing}"
    based("-t", "a", write(f"FROM busybox\nRUN {mount} echo x > /c/x\nRUN {mount} test -e /c/x"))


def test_a_new_cache_has_the_owner_and_mode_asked_for_and_keeps_them(based: Pybuild, write: Write) -> None:
    script = "RUN --mount=type=cache,target=/c,{} stat -c %u:%g:%a /c >> /seen"
    lines = [script.format("uid=33,gid=33,mode=0750"), script.format("mode=0777"), "RUN grep -q ^33:33:750$ /seen"]
    based("-t", "a", write("\n".join(["FROM busybox", *lines, "RUN test $(sort -u /seen | wc -l) = 1"])))


def test_a_cache_can_be_begun_with_files_of_a_stage_and_be_read_only(based: Pybuild, write: Write) -> None:
    dockerfile = """
        FROM busybox AS seed
        RUN mkdir -p /data/in && echo seed > /data/in/file && chown 33:44 /data/in/file
        FROM busybox
        RUN --mount=type=cache,target=/c,from=seed,source=/data cat /c/in/file && echo more > /c/more
        RUN --mount=type=cache,target=/c,from=seed,source=data,ro \
            test "$(stat -c %u:%g /c/in/file)" = 33:44 && test -e /c/more && ! touch /c/x
    """
    based("-t", "a", write(dockerfile))


def test_parallel_steps_take_turns_with_a_locked_cache(based: Pybuild, write: Write) -> None:
    step = (
        "RUN --mount=type=cache,id=turns,target=/c,sharing=locked mkdir /c/x && sleep 0.3 && rmdir /c/x && touch /done"
    )
    stages = "\n".join(f"FROM busybox AS s{n}\n{step}" for n in range(3))
    copies = "\n".join(f"COPY --from=s{n} /done /{n}" for n in range(3))
    based("-t", "a", write(f"{stages}\nFROM busybox\n{copies}"))


def test_parallel_steps_have_a_private_cache_each(based: Pybuild, write: Write) -> None:
    script = "test ! -e /c/x && touch /c/x && sleep 0.3 && rm /c/x && touch /done"
    step = f"RUN --mount=type=cache,id=own,target=/c,sharing=private {script}"
    stages = "\n".join(f"FROM busybox AS s{n}\n{step}" for n in range(2))
    copies = "\n".join(f"COPY --from=s{n} /done /{n}" for n in range(2))
    based("-t", "a", write(f"{stages}\nFROM busybox\n{copies}"))


def test_the_context_is_bound_without_what_is_ignored_and_belongs_to_root(based: Pybuild, write: Write) -> None:
    script = (
        "RUN --mount=target=/src test -e /src/dir/a && test ! -e /src/b.log && test $(stat -c %u:%g /src/dir) = 0:0"
    )
    context = write(f"FROM busybox\n{script} && ! touch /src/x", {"dir/a": "a", "b.log": "b", ".dockerignore": "*.log"})
    based("-t", "a", context)

    assert set() == paths(based, "a")


@pytest.mark.parametrize("flags", ["target=/src", "target=/src,rw"])
def test_ignored_files_are_hidden_at_every_depth(based: Pybuild, write: Write, flags: str) -> None:
    ignore = "**/*.log\n.git\nvendor\n!vendor/keep\nDockerfile"
    files = {"a/b/x.log": "", "a/b/c": "c", "a/y.log": "", ".git/HEAD": "", "vendor/keep": "", "vendor/drop/z": ""}
    context = write(None, files | {".dockerignore": ignore})
    (context / "a" / "b").chmod(0o750)
    os.utime(context / "a" / "b", (1_000_000_000, 1_000_000_000))
    expected = "/src /src/.dockerignore /src/a /src/a/b /src/a/b/c /src/vendor /src/vendor/keep"
    dockerfile = f"""
        FROM busybox
        RUN --mount={flags} test "$(find /src | sort | xargs)" = "{expected}" \\
            && test "$(stat -c %a:%Y /src/a/b)" = 750:1000000000 && test "$(cat /src/a/b/c)" = c
    """
    based("-t", "a", "-f", "-", context, input=dockerfile.encode())

    assert "z" in os.listdir(context / "vendor" / "drop")


@pytest.mark.root
def test_files_of_other_owners_in_the_context_are_shown_as_roots(based: Pybuild, write: Write) -> None:
    context = write("FROM busybox\nRUN --mount=target=/src test $(stat -c %u:%g /src/dir/a) = 0:0", {"dir/a": "a"})
    os.chown(context / "dir" / "a", 1234, 1234)

    based("-t", "a", context)


@pytest.mark.parametrize("ignored", ["", "*.log"])
def test_what_is_written_to_a_bound_context_is_thrown_away(based: Pybuild, write: Write, ignored: str) -> None:
    dockerfile = """
        FROM busybox
        WORKDIR /w
        RUN --mount=type=bind,source=dir,target=here,rw echo new > here/a && echo b > here/b && cp here/b /out
        RUN --mount=source=dir/a,target=/one,rw echo changed > /one
        RUN --mount=type=bind,source=dir,target=/w/here grep -q old here/a && test ! -e here/b
    """
    context = write(dockerfile, {"dir/a": "old", ".dockerignore": ignored})
    based("-t", "a", context)

    assert "old" == (context / "dir" / "a").read_text()
    assert ["a"] == [path.name for path in (context / "dir").iterdir()]


def test_mounts_have_their_places_in_what_is_bound_read_only(based: Pybuild, write: Write) -> None:
    dockerfile = """
        FROM busybox AS made
        RUN mkdir -p /out/deep && ln -s deep /out/link
        FROM busybox
        RUN --mount=target=/src --mount=type=cache,target=/src/new/cache --mount=type=tmpfs,target=/src/dir/t \
            touch /src/new/cache/x /src/dir/t/x && test -e /src/dir/a && ! touch /src/new/x
        RUN --mount=from=made,source=/out,target=/m --mount=type=cache,target=/m/link/cache touch /m/deep/cache/x
    """
    context = write(dockerfile, {"dir/a": "a"})
    based("-t", "a", context)

    assert {"Dockerfile", "dir"} == {path.name for path in context.iterdir()}
    assert set() == paths(based, "a", -2)


def test_stages_and_images_are_bound(based: Pybuild, write: Write) -> None:
    dockerfile = """
        FROM busybox AS made
        RUN mkdir -p /out/deep && echo made > /out/deep/file && ln -s deep /out/link && rm /etc/motd
        FROM busybox
        RUN --mount=from=made,source=/out/link,target=/m grep -q made /m/file && ! touch /m/x
        RUN --mount=from=made,source=/out,target=/m,rw touch /m/x /m/deep/x
        RUN --mount=from=made,target=/m test ! -e /m/out/x && test ! -e /m/etc/motd && test ! -e /m/etc/hosts
        RUN --mount=from=busybox:latest,source=/etc/motd,target=/f grep -q hello /f
        RUN test ! -e /m && test ! -e /f
    """
    based("-t", "a", write(dockerfile))

    assert set() == paths(based, "a")


def test_a_bound_stage_counts_by_its_content(based: Pybuild, write: Write) -> None:
    text = "FROM busybox AS made\nRUN mkdir /out && echo {} > /out/a && echo {} > /other\n"
    text += "FROM busybox\nRUN --mount=from=made,source=/out,target=/m cp /m/a /a"
    based("-t", "a", write(text.format(1, 1)))
    same = based("-t", "b", write(text.format(1, 2)))
    changed = based("-t", "c", write(text.format(2, 2)))

    assert ["RUN --mount=from=made,source=/out,target=/m cp /m/a /a"] == [
        title.partition("] ")[2] for title in same.cached
    ]
    assert not changed.cached


def test_a_changed_file_of_the_bound_context_runs_the_step_again(based: Pybuild, write: Write) -> None:
    context = write("FROM busybox\nRUN --mount=source=dir,target=/m cp /m/a /a", {"dir/a": "1", "other": "1"})
    based("-t", "a", context)
    (context / "other").write_text("2")
    assert based("-t", "a", context).cached
    (context / "dir" / "a").write_text("2")

    assert not based("-t", "a", context).cached


def test_a_step_whose_bound_files_change_meanwhile_is_not_remembered(based: Pybuild, write: Write, place: Path) -> None:
    """Else a later build with the files as they were would get what came of others."""
    script = "echo ready && until test -e /src/go; do sleep 0.05; done; cp /src/a /out"
    context = write(f"FROM busybox\nRUN --mount=source=dir,target=/src {script}", {"dir/a": "old"})
    process = based.start("-t", "a", context, output=place / "log")
    until(lambda: b"ready\n" in (place / "log").read_bytes())
    (context / "dir" / "a").write_text("new")
    (context / "dir" / "go").touch()
    assert 0 == process.wait()
    (context / "dir" / "a").write_text("old")
    (context / "dir" / "go").unlink()

    process = based.start("-t", "a", context, output=place / "log")
    until(lambda: b"ready\n" in (place / "log").read_bytes())
    process.terminate()
    assert process.wait()


def test_a_tmpfs_has_its_size_and_leaves_nothing(based: Pybuild, write: Write) -> None:
    script = "RUN --mount=type=tmpfs,target=/t,size=1m ! dd if=/dev/zero of=/t/x bs=1k count=2000 2>/dev/null"
    based(
        "-t",
        "a",
        write(f"FROM busybox\n{script}\nRUN --mount=type=tmpfs,target=/tmp touch /tmp/x\nRUN test ! -e /tmp/x"),
    )

    assert set() == paths(based, "a", -2)


def test_a_secret_is_a_file_of_root_and_nowhere_afterwards(based: Pybuild, write: Write, place: Path) -> None:
    value = "correct horse battery staple"
    (place / "token").write_text(value)
    dockerfile = """
        FROM busybox
        RUN --mount=type=secret,id=token test "$(stat -c %u:%g:%a /run/secrets/token)" = 0:0:400 \
            && grep -q "^correct horse" /run/secrets/token && ! echo x > /run/secrets/token
        RUN --mount=type=secret,id=token,target=/etc/t,uid=33,gid=33,mode=0440 \
            test "$(stat -c %u:%g:%a /etc/t)" = 33:33:440
        RUN --mount=type=secret,id=token,env=TOKEN test "${#TOKEN}" = 28 && test ! -e /run/secrets
        RUN --mount=type=secret,id=token,env=T,target=t test "$T" = "$(cat /t)"
        RUN --mount=type=secret,id=absent test ! -e /run/secrets/absent
    """
    done = based("-t", "a", "--secret", f"id=token,src={place / 'token'}", write(dockerfile))

    assert value not in done.err
    assert all(set() == paths(based, "a", layer) for layer in range(-5, 0))
    assert not [path for path in based.store.rglob("*") if path.is_file() and value.encode() in path.read_bytes()]
    assert not based.left()


def test_secrets_come_from_variables_and_count_only_by_their_name(based: Pybuild, write: Write) -> None:
    context = write("FROM busybox\nRUN --mount=type=secret,id=S cat /run/secrets/S > /dev/null && date +%s%N > /out")
    based("-t", "a", "--secret", "id=S", context, env={"S": "one"})
    done = based("-t", "a", "--secret", "id=S,env=OTHER", context, env={"OTHER": "two"})

    assert 1 == len(done.cached)


def test_a_required_secret_must_be_given(based: Pybuild, write: Write) -> None:
    context = write("FROM busybox\nRUN --mount=type=secret,id=key,required true")

    error = based.fails("-t", "a", context)

    assert "secret key: not found" in error
    assert "--secret id=key,src=FILE" in error


def test_a_secret_in_a_variable_is_on_no_disk_while_the_step_runs(based: Pybuild, write: Write, place: Path) -> None:
    value = b"seen by nobody else"
    context = write(
        "FROM busybox\nRUN --mount=type=secret,id=S,env=S --mount=type=secret,id=S,target=/s echo ready && sleep 600"
    )
    (place / "secret").write_bytes(value)
    process = based.start("-t", "a", "--secret", f"id=S,src={place / 'secret'}", context, output=place / "log")
    try:
        until(lambda: b"ready\n" in (place / "log").read_bytes())
        files = [path for path in based.store.rglob("*") if path.is_file()]

        assert not [path for path in files if value in path.read_bytes()]
    finally:
        process.terminate()
        process.wait()


def test_a_heredoc_with_an_interpreter_of_its_own_is_executed(based: Pybuild, write: Write) -> None:
    based(
        "-t",
        "a",
        write(
            'FROM busybox\nRUN <<script\n#!/bin/awk -f\nBEGIN { print "awk" > "/out" }\nscript\nRUN grep -q awk /out'
        ),
    )

    assert {"out"} == paths(based, "a", -2)


@pytest.fixture
def agent(place: Path) -> Iterator[Path]:
    """The socket of a real agent with one key."""
    need("ssh-agent", "ssh-keygen")
    key, path = place / "key", place / "agent"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    with subprocess.Popen(
        ["ssh-agent", "-a", path, "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        until(path.exists)
        subprocess.run(["ssh-add", "-q", key], check=True, env={**os.environ, "SSH_AUTH_SOCK": str(path)})
        yield path
        assert process.stdin is not None
        process.stdin.close()


def test_an_agent_is_reached_and_has_the_owner_asked_for(based: Pybuild, write: Write, agent: Path) -> None:
    dockerfile = """
        FROM busybox
        RUN --mount=type=ssh test "$SSH_AUTH_SOCK" = /run/buildkit/ssh_agent.0 \
            && test "$(stat -c %F:%u:%a $SSH_AUTH_SOCK)" = socket:0:600
        RUN --mount=type=ssh,id=other,target=/a.sock,uid=33,mode=0666 test "$(stat -c %u:%a $SSH_AUTH_SOCK)" = 33:666
        RUN --mount=type=ssh,id=absent test -z "$SSH_AUTH_SOCK"
    """
    context = write(dockerfile)
    based("-t", "a", "--ssh", "default", "--ssh", f"other={agent}", context, env={"SSH_AUTH_SOCK": str(agent)})

    assert all(set() == paths(based, "a", layer) for layer in range(-3, 0))


def test_keys_get_an_agent_that_ends_with_the_build(based: Pybuild, write: Write, place: Path, agent: Path) -> None:
    context = write("FROM busybox\nRUN --mount=type=ssh,required test -S $SSH_AUTH_SOCK")
    based("-t", "a", "--ssh", f"default={place / 'key'}", context, env={"TMPDIR": str(place)})

    assert not processes(f"ssh-agent -a {place}/pybuild-")
    (place / "no-key").write_text("no key")
    assert "cannot be used" in based.fails("--ssh", f"default={place / 'no-key'}", context)
    assert "there is no agent" in based.fails("--ssh", "default", context)
    assert "No such file" in based.fails("--ssh", f"default={place / 'absent'}", context)


def test_a_required_agent_must_be_given(based: Pybuild, write: Write) -> None:
    error = based.fails("-t", "a", write("FROM busybox\nRUN --mount=type=ssh,required true"))

    assert "ssh agent default: not found" in error


def test_targets_must_be_below_the_root(based: Pybuild, write: Write) -> None:
    assert 'invalid mount target "/.."' in based.fails(write("FROM busybox\nRUN --mount=type=cache,target=/.. true"))


def test_sources_must_be_there(based: Pybuild, write: Write) -> None:
    error = based.fails(write("FROM busybox\nRUN --mount=source=dri,target=/m true", {"dir/a": ""}))

    assert 'source "dri" is not in the build context' in error
    assert 'did you mean "dir"?' in error


@pytest.mark.parametrize("isolation", ["proot", *(["chroot"] if os.geteuid() == 0 else [])])
def test_what_is_mounted_read_only_stays_as_it_is_in_every_way(based: Pybuild, write: Write, isolation: str) -> None:
    """Where nothing can be mounted, a step may write to a copy: never to the context, a cache or what another sees."""
    need("proot")
    context = write(
        "FROM busybox AS other\nRUN mkdir /o && echo o > /o/f\nFROM busybox\n"
        "RUN --mount=type=cache,target=/cache echo kept > /cache/f\n"
        "RUN --mount=type=bind,source=d,target=/d --mount=type=bind,source=d/f,target=/f "
        "--mount=type=cache,target=/cache,ro --mount=type=bind,from=other,source=/o,target=/o "
        "for each in /d/new /d/f /f /cache/f /o/f; do echo changed > $each; done; true\n"
        "RUN --mount=type=bind,source=d,target=/d --mount=type=cache,target=/cache,ro "
        "--mount=type=bind,from=other,source=/o,target=/o cat /d/f /cache/f /o/f && ls /d\n",
        {"d/f": "mine\n"},
    )

    log = based("build", "--isolation", isolation, "--progress", "plain", context).err

    assert "mine\n" == (context / "d/f").read_text()
    assert ["f"] == os.listdir(context / "d")
    assert ["mine", "kept", "o", "f"] == [
        line.split()[2] for line in log.splitlines() if re.match(r"#\d+ \d+\.\d+ ", line)
    ]
