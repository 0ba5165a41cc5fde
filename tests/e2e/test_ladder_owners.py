"""What steps see of owners, and what their layers say: with one id the same as with many."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_ladder import differing, view
from tests.support import bases, confined

if TYPE_CHECKING:
    from tests.support.programs import Pybuild

pytestmark = pytest.mark.e2e

BUSYBOX = f"""
FROM {bases.BUSYBOX}
RUN mkdir -p /a/b && touch /a/b/f /a/b/g /a/b/k && ln -s f /a/b/l && chown -R 1000:1001 /a && chown -h 5:6 /a/b/l
RUN ln /a/b/k /a/b/h
RUN <<X
s='stat -c %n:%u:%g'
echo earlier step; $s /a /a/b/f /a/b/g /a/b/l; stat -L -c %n:%u:%g /a/b/l
cd /a/b; $s f ./g ../b/h l . ..; ls -ln /a/b | cut -c 1-40
echo this step; mkdir /n; touch /n/x; chown 7:8 /n/x; $s /n/x; mv /n/x /n/y; $s /n/y; ln /n/y /n/z; $s /n/z
echo one half; chown 9 /n/z; $s /n/y; chown :10 /n/y; $s /n/z; chgrp 11 f; $s f; chown 12 h; $s h k
echo copied up; echo x >> g; $s g; echo y >> k; $s k h; chmod 600 f; $s f; touch /a/b; $s /a/b
echo moved; mv f moved; $s moved; mkdir /m; mv moved l /m; $s /m/moved /m/l; mv /m /o; $s /o /o/moved /o/l
echo copies; cp -a g copy; $s copy; cp g plain; $s plain; cp -p /o/moved /x; $s /x; install -o 3 -g 4 g inst; $s inst
echo replaced; cp g new; mv new g; $s g; rm copy; touch copy; $s copy; sed -i s/x/y/ inst; $s inst
tar -c -f - -C / a o | (mkdir /t; tar -x -f - -C /t); $s /t/a/b/* /t/o/*
echo found; find / -xdev -user 1000 -o -xdev -group 8 -o -xdev -user 5 | sort
echo root; mkdir -p /q/bin /q/d; cp /bin/busybox /q/bin/stat; chown 1:2 /q/d; chroot /q /bin/stat -c %u:%g /d; $s /q/d
chown 0:0 /a; $s /a
X
USER web
RUN <<X
s='stat -c %n:%u:%g'
cd /tmp; touch new; mkdir d; ln -s x d/l; mkfifo p; cp /etc/passwd pw; id; id -u; id -g; sh -c 'id -G'
$s /tmp new d d/l p pw /etc/passwd /n/y; mv pw moved; $s moved
X
RUN stat -c %n:%u:%g /tmp/d /tmp/d/l /tmp/p /tmp/moved; echo >> /tmp/new; stat -c %n:%u:%g /tmp/new
"""
DEBIAN = f"""
FROM {bases.DEBIAN}
RUN <<X
s='stat -c %n:%u:%g:%a:%s:%h:%F:%b:%t'
o='stat -c %n:%u:%g'
$s /etc/shadow /etc/gshadow /var/mail /usr/bin/chage /usr/sbin/unix_chkpwd /etc/passwd /dev/null /etc/alternatives/awk
ls -lnd /etc/shadow /var/mail /usr/bin/chage | cut -c 1-25
perl -e 'for (["/etc/shadow"], [*STDIN]) {{ @s = stat($$_[0]); print "$s[2] $s[4]:$s[5] $s[7]\\n" }}' < /etc/shadow
perl -e 'syscall(5, 0, my $b = "\\0" x 144); print join(" ", (unpack("QQQLLL", $b))[2 .. 5]), "\\n"' < /etc/gshadow
echo '#' >> /etc/gshadow; $s /etc/gshadow; chmod 2750 /var/mail; $s /var/mail
mv /usr/bin/chage /usr/bin/moved; $s /usr/bin/moved
find / -xdev ! -user root -o -xdev ! -group root | sort
useradd -m -s /bin/sh some; $s /home/some /home/some/.profile
$o /etc/shadow /etc/shadow- /etc/gshadow /etc/gshadow- /etc/passwd-
echo some:secret | chpasswd; $o /etc/shadow; usermod -c words some; $o /etc/passwd /etc/passwd-
cp -a /etc /copy; rm -f /copy/mtab; chown -R --from=0:42 0:43 /copy; chown --reference=/home/some /copy/issue
find /copy ! -gid 0 -printf '%p %U:%G\\n' | sort
dpkg-statoverride --update --add some mail 640 /etc/motd; $s /etc/motd; cp /usr/bin/id /raised; chmod 4755 /raised; id
perl -e 'for $a (0, -1, 1 << 63, 4096) {{ print syscall(4, "/etc/shadow", $a), " ", $! + 0, "\\n" }}'
perl -e 'for $a (-1, 1 << 63, 4096) {{ print syscall(13, 17, $a, 0, 8), syscall(92, $a, 1, 1), " ", $! + 0, "\\n" }}'
i=0; while [ $i -lt 200 ]; do i=$((i + 1)); (:) & test -e /etc/passwd || echo cut short; done; wait
X
USER some
RUN id; id -u; /raised -u; perl -e 'print "$< $> $( $)\\n"'
RUN perl -e 'for $a (0, -1, 1 << 63, 9) {{ print syscall(118, $a, $a, $a), syscall(115, 9, $a), " ", $! + 0, "\\n" }}'
"""


def build(pybuild: Pybuild, name: str, dockerfile: str) -> list[str]:
    """Build by runc; give what the steps have said."""
    context = pybuild.store.parent / "context"
    (context / "Dockerfile").write_text(dockerfile)
    log = pybuild("-t", name, "--isolation", "runc", "--progress", "plain", context).err
    return re.findall(r"^#\d+ \d+\.\d+ (.*)$", log, re.MULTILINE)


def test_steps_see_owners_and_layers_have_them(pair: tuple[Pybuild, Pybuild]) -> None:
    """Of this step, of an earlier one, after a copy-up, a move and a link, for a root directory of one's own."""
    many, one = pair

    expected = build(many, "app", BUSYBOX)

    assert len(expected) > 80
    assert expected == build(one, "app", BUSYBOX)
    assert [] == differing(view(many, "app"), view(one, "app"))


def test_programs_of_a_debian_see_its_owners(pair: tuple[Pybuild, Pybuild], debian: Pybuild) -> None:
    """By statx and by the calls before it, by path and by descriptor; shadow's and dpkg's tools go by what they see."""
    many, one = pair
    for pybuild in pair:
        bases.put(pybuild.layout, debian.image(bases.DEBIAN), bases.DEBIAN)
        if os.geteuid() == 0:
            confined.give(pybuild.store / "blobs", confined.nobody())

    expected = build(many, "large", DEBIAN)

    assert "/etc/shadow:0:42:640" in expected[0]
    assert expected == build(one, "large", DEBIAN)
    changed = [each for each in differing(view(many, "large"), view(one, "large")) if "shadow" not in each]
    assert [] == changed


def test_containers_show_owners_as_well(pair: tuple[Pybuild, Pybuild]) -> None:
    """A commit has what their processes said."""
    script = "chown 3:4 /etc/motd; stat -c %u:%g /a/b/g /etc/motd"
    for pybuild in pair:
        build(pybuild, "base", "\n".join(BUSYBOX.splitlines()[:3]))
        done = pybuild("run", "--isolation", "runc", "--name", "one", "base", "sh", "-c", script)
        assert b"1000:1001\n3:4\n" == done.out
        pybuild("commit", "one", "kept")
        pybuild("rm", "one")
    many, one = pair
    assert [] == differing(view(many, "kept"), view(one, "kept"))
