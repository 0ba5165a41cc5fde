"""RUN --mount of every type, with each of its keys, in a default container: there nothing can be mounted."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_ladder import SECRET
from tests.support import bases, confined, perl
from tests.support.programs import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.dockerd import Docker

pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.xdist_group("docker")]

WAYS = {"chroot": 0, "proot": 1000}
"""What runs the steps, and whose pybuild it is."""
ASK = """\
socket(my $agent, 1, 1, 0) or die "socket: $!";
connect($agent, pack("Sa*x", 1, $ARGV[0])) or die "connect: $!";
syswrite($agent, pack("NC", 1, 11));
sysread($agent, my $answer, 9) == 9 or die "no answer";
print "the agent has ", (unpack("NCN", $answer))[2], " keys\\n";
"""
DOCKERFILE = f"""
FROM {bases.BUSYBOX} AS seed
RUN mkdir -p /data/in && echo seed > /data/in/file
FROM {bases.BUSYBOX}
WORKDIR /w
COPY root /
RUN --mount=type=bind,source=dir,target=bound --mount=type=bind,from=seed,source=/data,target=/seed,rw \\
    grep -q old /w/bound/a && echo changed > /seed/in/file
RUN --mount=from=seed,source=/data/in/file,target=/one,readonly --mount=source=dir,target=/w/own,readwrite \\
    grep -q seed /one && echo new > own/a
RUN --mount=source=dir,target=bound grep -q old bound/a
RUN --mount=type=cache,id=c,target=/c,sharing=locked,mode=0750,uid=33,gid=44 \\
    --mount=type=cache,target=/d,from=seed,source=data,sharing=private \\
    test "$(stat -c %u:%g:%a /c)" = OWNER:750 && echo kept > /c/kept && grep -q seed /d/in/file
RUN --mount=type=cache,id=c,target=/elsewhere,sharing=shared,ro grep -q kept /elsewhere/kept
RUN --mount=type=tmpfs,target=/t,size=1m echo lost > /t/x
RUN --mount=type=tmpfs,target=/t test ! -e /t/x
RUN --mount=type=secret,id=token,target=/run/token,required,mode=0440,uid=33,gid=44 \\
    test "$(wc -c < /run/token)" = {len(SECRET)} && test "$(stat -c %u:%g:%a /run/token)" = OWNER:440
RUN --mount=type=secret,id=token,env=TOKEN --mount=type=secret,id=absent \\
    test "${{#TOKEN}}" = {len(SECRET)} && test ! -e /run/secrets/absent
RUN --mount=type=ssh,id=key,target=/agent,required,mode=0660,uid=33,gid=44 \\
    test "$(stat -c %F:%u:%g:%a $SSH_AUTH_SOCK)" = socket:OWNER:660 && /perl /ask /agent
RUN --mount=type=ssh,id=key /perl /ask $SSH_AUTH_SOCK && test -S /run/buildkit/ssh_agent.0
RUN --mount=type=ssh,id=absent test -z "$SSH_AUTH_SOCK"
RUN test "$(ls / /w /run | grep -cE '^(one|own|bound|seed|c|d|t|elsewhere|token|agent|buildkit|secrets)$')" = 0
"""


@pytest.fixture
def library() -> Iterator[Path]:
    """pybuild where everybody can read it."""
    with tempfile.TemporaryDirectory(prefix="pybuild-copy-", dir="/var/tmp") as name:
        path = Path(name)
        path.chmod(0o755)
        yield confined.copy_of_pybuild(path)


@pytest.mark.parametrize("way", WAYS)
def test_every_mount_works_and_leaves_nothing(docker: Docker, library: Path, way: str) -> None:
    """Where files have one owner only, owners that are asked for are not kept."""
    need("proot", "ssh-agent", "ssh-keygen")
    uid = WAYS[way]
    with confined.place_of(uid) as place:
        prefix = confined.in_container(docker, place, library, uid=uid)
        pybuild = confined.Confined(place / "store", place / "home", prefix=prefix, library=library)
        bases.put(pybuild.layout, bases.busybox(), bases.BUSYBOX)
        context = place / "context"
        (context / "dir").mkdir(parents=True)
        (context / "dir/a").write_text("old\n")
        perl.put(context / "root")
        (context / "root/ask").write_text(ASK)
        (context / "Dockerfile").write_text(DOCKERFILE.replace("OWNER", "33:44" if way == "chroot" else "0:0"))
        (place / "token").write_text(SECRET)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", place / "key"], check=True)
        confined.give(place, uid)

        given = ("--secret", f"id=token,src={place}/token", "--ssh", f"key={place}/key")
        log = pybuild("-t", "app", "--progress", "plain", *given, context).err

        assert f"isolation: {way}" in log
        assert 2 == log.count(" the agent has 1 keys\n")
        assert "old\n" == (context / "dir/a").read_text()
        assert [] == pybuild.left()
