"""Who the processes of steps are: with one id the same as with many."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.e2e import test_debian
from tests.e2e.test_ladder import differing, view
from tests.e2e.test_ladder_owners import build
from tests.support import bases, confined

if TYPE_CHECKING:
    from tests.support.programs import Pybuild

pytestmark = pytest.mark.e2e

APT = f"""
FROM {bases.DEBIAN}
RUN rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* && apt-config dump APT::Sandbox::User
COPY repository /repository
RUN echo 'deb [trusted=yes] copy:/repository ./' > /etc/apt/sources.list && apt-get update
RUN apt-get install -y our-service && stat -c %n:%u:%g /var/lib/our-service/* && id -u our-service
"""
TOOLS = f"""
FROM {bases.DEBIAN}
RUN <<X
exec 2>&1
su -s /bin/sh www-data -c id
su -s /bin/sh www-data -c 'sh -c "id; id -u"; echo `id -g`'
su -s /bin/sh - games -c 'id -un; id -G'
runuser -u www-data -- id
runuser -u www-data -g mail -- id
setpriv --reuid www-data --regid mail --clear-groups id
setpriv --reuid 33 --regid 33 --groups 5,4 id
setpriv --reuid www-data --regid www-data --init-groups id
setpriv --ruid 5 --euid 6 --clear-groups perl -e 'print "$< $> $( $)\\n"'
start-stop-daemon --start --chuid games:mail --exec /usr/bin/id
start-stop-daemon --start --background --make-pidfile --pidfile /p --chuid 7:8 --exec /bin/sh -- -c 'id > /tmp/d'
i=0; until test -s /tmp/d; do i=$((i + 1)); test $i -lt 100 || break; sleep 0.1; done; cat /tmp/d; rm /p
chroot --userspec=33:34 --groups=5,3 / id
su -s /bin/sh www-data -c 'su -s /bin/sh games -c id' < /dev/null; echo $?
su -s /bin/sh www-data -c 'setpriv --reuid 0 id; setpriv --clear-groups id; setpriv --rgid 0 id'
newgrp mail < /dev/null; id
groupadd -g 3000 people; useradd -m -u 3000 -g people -s /bin/sh -G mail,games -c one one; su one -c id
adduser --system --group --home /var/lib/two two; su -s /bin/sh two -c 'id -un; id -gn'
adduser --disabled-password --gecos '' three; su - three -c 'id -un; pwd'
echo x > /f; install -o one -g people -m 640 /f /g; stat -c %u:%g:%a /g
chown -R one: /home/one; stat -c %u:%g /home/one
cp /usr/bin/id /usr/bin/ids; chown 5:6 /usr/bin/ids; chmod 6755 /usr/bin/ids; ids; su one -c 'ids; ids -u; id -u'
mkdir -m 2777 /team; chgrp mail /team
cat > /files <<'Y'
s='stat -c %n:%u:%g'
touch f; mkdir -p d/e; ln -s f l; echo > d/e/g; echo >> d/e/g; mkfifo p; cp /etc/passwd pw; mv pw moved; install -d i
$s *; mv d other; $s other/e/g; touch /team/x 2> /dev/null; $s /team/x
(cd other; touch ../up; $s ../up; sh -c 'echo > below')
perl -e 'open my $a, ">", "perl"; symlink "x", "y"; mkdir "z"'; cp -r other copied; tar -c other | tar -x -C z
echo > temporary; rm temporary; ln other/e/g hard; echo > unseen; mkdir unseen.d; touch unseen.d/f
Y
su - one -c '. /files'; touch /home/one/temporary; su -s /bin/sh games -c 'cd /tmp; mkdir games; cd games; . /files'
stat -c %n:%u:%g /home/one/* /tmp/games/*; echo > /of-root; find / -xdev -user one | sort
X
RUN cp /usr/bin/id /usr/bin/root && cp /usr/bin/touch /usr/bin/rtouch && chmod 4755 /usr/bin/root /usr/bin/rtouch
USER one
RUN touch /tmp/own && rtouch /tmp/roots && stat -c %n:%u:%g /tmp/*
RUN <<X
exec 2>&1
id; root; root -u; ids; id -G; setpriv --reuid 0 id; setpriv --reuid 3000 id; setpriv --regid 8 id
perl -e '$> = 0; print "$!|$>\\n"; $! = 0; $( = 8; print "$!|$(\\n"'
(id -u; (id -u) &  wait)
X
"""
SEQUENCES = f"""
FROM {bases.DEBIAN}
COPY sequences.pl /
RUN perl /sequences.pl
USER 33:34
RUN perl /sequences.pl
"""
PERL = r"""
use strict;
my %NUMBER = (setuid => 105, setgid => 106, setreuid => 113, setregid => 114, setgroups => 116, setresuid => 117,
              setresgid => 119, setfsuid => 122, setfsgid => 123);
my @SEQUENCES = (
    [qw(setuid:33 setuid:0 setuid:33)], [qw(setgid:33 setuid:33 setgid:0 setgid:33)], [qw(setreuid:-1,33 setuid:0)],
    [qw(setresuid:1,2,3 setuid:3 setuid:2 setresuid:3,1,2)], [qw(setresgid:1,2,3 setgid:9 setresuid:4,4,4 setgid:3)],
    [qw(setregid:5,6 setreuid:5,6 setreuid:6,5 setreuid:7,-1)],
    [qw(setfsuid:9 setfsuid:-1 setfsgid:8 setuid:1 setfsuid:0)],
    [qw(setuid:-1 setgid:-1 setresuid:-1,-1,-1 setreuid:-1,-1)],
    [qw(setresuid:-1,33,-1 setgid:4 setresuid:0,0,0 setgid:4)],
    [qw(fork setuid:33 fork setuid:0)], [qw(setgid:5 fork setgid:6 setuid:9 fork fork)],
);
$| = 1;
for my $sequence (@SEQUENCES) {
    my $pid = fork;
    if ($pid) { waitpid $pid, 0; next }
    for (@$sequence) {
        if ($_ eq "fork") { if (my $pid = fork) { waitpid $pid, 0; last } print "fork "; }
        else {
            my ($name, $given) = split /:/;
            $! = 0;
            my $value = syscall($NUMBER{$name}, map { $_ + 0 } split /,/, $given);
            print "$_=$value,", $! + 0, " ";
        }
        my ($a, $b, $c) = ("\0" x 4) x 3;
        syscall(118, $a, $b, $c); print join(",", map { unpack "L", $_ } $a, $b, $c), "/";
        syscall(120, $a, $b, $c); print join(",", map { unpack "L", $_ } $a, $b, $c), " ";
    }
    print "$< $> $( $)\n";
    exit;
}
my $groups = pack "L*", 9, 4, 7;
print syscall(116, 3, $groups), " ", $! + 0, " ", $), "\n";
print syscall(116, 3, 4096), " ", $! + 0, "\n";
print syscall(116, 70000, 4096), " ", $! + 0, "\n";
print syscall(116, 0, 0), " ", $), "\n";
"""


@pytest.fixture(scope="module")
def both(
    pair: tuple[Pybuild, Pybuild], debian: Pybuild, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Pybuild, Pybuild]:
    """The two with a Debian, and what its steps need in their contexts."""
    repository = tmp_path_factory.mktemp("repository")
    test_debian.make_package(repository)
    bases.make_archive(repository)
    for pybuild in pair:
        bases.put(pybuild.layout, debian.image(bases.DEBIAN), bases.DEBIAN)
        context = pybuild.store.parent / "context"
        shutil.copytree(repository, context / "repository")
        (context / "sequences.pl").write_text(PERL)
        if os.geteuid() == 0:
            for each in (pybuild.store / "blobs", context):
                confined.give(each, confined.nobody())
    return pair


def test_apt_installs_as_its_own_user(both: tuple[Pybuild, Pybuild]) -> None:
    """It becomes _apt, and looks whether it can go back."""
    many, one = both

    expected = build(many, "apt", APT)

    assert 'APT::Sandbox::User "_apt";' in expected[0] + expected[1]
    assert without_times(expected) == without_times(build(one, "apt", APT))
    changed = [each for each in differing(view(many, "apt"), view(one, "apt")) if "shadow" not in each]
    assert [] == changed


def without_times(lines: list[str]) -> list[str]:
    """Leave out what apt says of speed."""
    return [line for line in lines if not line.startswith(("Fetched", "Selecting", "(Reading"))]


def test_programs_that_change_users_have_them(both: tuple[Pybuild, Pybuild]) -> None:
    """In this process, in those that it starts, and not again as root."""
    many, one = both

    expected = build(many, "tools", TOOLS)

    assert len(expected) > 50
    assert expected == build(one, "tools", TOOLS)
    assert [] == [each for each in differing(view(many, "tools"), view(one, "tools")) if "shadow" not in each]


def test_calls_answer_as_the_kernel_does(both: tuple[Pybuild, Pybuild]) -> None:
    many, one = both

    expected = build(many, "sequences", SEQUENCES)

    assert len(expected) > 20
    assert expected == build(one, "sequences", SEQUENCES)
