"""What tests do in a process of their own: each scene gets a directory and gives what JSON can hold."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builder.errors import BuildError, CancelledError
from builder.runtime import ladder, proot, runc, userns
from builder.runtime.runtime import Limit, Mount, Process, ResolvedUser

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from builder.runtime.ladder import Isolation
    from builder.runtime.rootfs import StepRoot

BUSYBOX = Path("/bin/busybox")
_APPLETS = (
    "sh ls cat id sleep chown chmod kill mount env hostname dd ip yes head mknod touch stat ps wc rm mkdir mv ln"
    " readlink true false unshare ulimit grep find"
)


def base(directory: Path) -> Path:
    """Make a root file system of busybox."""
    root = directory / "base"
    (root / "bin").mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    for applet in _APPLETS.split():
        (root / "bin" / applet).symlink_to("busybox")
    (root / "etc").mkdir(mode=0o750)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    return root


class Machine:
    """A way to run steps, with a busybox to run."""

    def __init__(self, isolation: Isolation, directory: Path) -> None:
        self.isolation = isolation
        self.directory = directory
        self.base = base(directory)

    def step(
        self, process: Process, lowers: Sequence[Path] = (), keep: Path | None = None
    ) -> tuple[dict[str, Any], StepRoot]:
        """Run a process on ``lowers`` and the busybox; its upper directory is moved to ``keep``."""
        output = bytearray()
        with self.isolation.root([*lowers, self.base], process.mounts) as root:
            try:
                ended = self.isolation.runtime.run(process, root.root, output.extend)
                result = {"code": ended.code, "error": ended.error, "seconds": ended.seconds, "rss": ended.max_rss}
            except BuildError as error:
                result = {"raised": str(error)}
            if keep is not None:
                root.unmount()
                root.upper.rename(keep)
        return result | {"output": output.decode(errors="replace")}, root

    def sh(self, script: str, **options: Any) -> dict[str, Any]:
        """Run a shell script; give code, error, output."""
        return self.step(shell(script, **options))[0]


def shell(script: str, **options: Any) -> Process:
    """Give a process that runs a shell script."""
    return Process(("/bin/sh", "-c", script), {"PATH": "/bin"}, **options)


@contextlib.contextmanager
def machine(directory: Path, isolation: str = "auto") -> Iterator[Machine]:
    """Enter, and find a way to run steps."""
    with ladder.choose(isolation, directory / "tmp") as chosen:
        yield Machine(chosen, directory)


def alive(marker: str) -> list[str]:
    """Give the command lines that hold ``marker``, whatever namespace they are in."""
    found = []
    for entry in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            line = Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            # The suite's own processes name it in their arguments.
            if marker in line and "python" not in line and Path(f"/proc/{entry}/stat").read_text().split()[2] != "Z":
                found.append(line)
    return found


def entering(directory: Path) -> Any:
    directory.joinpath("here").mkdir()
    os.chdir("here")
    first = userns.enter()
    second = userns.enter()
    return {
        "kind": first.kind,
        "ids": first.ids,
        "notes": list(first.notes),
        "same": first is second,
        "uid": os.getuid(),
        "cwd": os.getcwd(),
    }


def entering_with_threads(_directory: Path) -> Any:
    thread = threading.Thread(target=time.sleep, args=(1,))
    thread.start()
    try:
        userns.enter()
    except BuildError as error:
        return [str(error), os.getuid()]
    finally:
        thread.join()
    return None


def scripts(directory: Path, texts: list[str], options: dict[str, Any] | None = None) -> Any:
    """Run shell scripts one after the other."""
    with machine(directory) as box:
        return [box.sh(text, **(options or {})) for text in texts]


def commands(directory: Path, all_arguments: list[list[str]]) -> Any:
    """Run commands without a shell; some of their files cannot be executed."""
    with machine(directory) as box:
        (box.base / "bin/garbage").write_bytes(b"\x7fELF, but no more")
        (box.base / "bin/garbage").chmod(0o755)
        (box.base / "bin/data").write_text("no program")
        (box.base / "bin/data").chmod(0o644)
        return [box.step(Process(tuple(each), {"PATH": "/bin"}))[0] for each in all_arguments]


def changes(directory: Path) -> Any:
    """Change files in every way; give the upper directory as lines, and what the next step sees."""
    with machine(directory) as box:
        for name in ("old", "emptied/f", "replaced/x", "kept/y"):
            path = box.base / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(name)
        keep = directory / "kept"
        done, _ = box.step(
            shell(
                "echo new >/x && chown 33:44 /x && chmod 4755 /x && rm old && rm -r emptied && mkdir emptied && "
                "rm -r replaced && echo file >replaced && mv /bin/yes /bin/no && rm -f /etc/hosts; "
                "echo gone >>/etc/hosts; echo gone >/dev/thing; cat /nothing"
            ),
            keep=keep,
        )
        lines = sorted(_line(keep, path) for path in keep.rglob("*"))
        seen, _ = box.step(
            shell("cat x; find / -xdev -maxdepth 2 -name '[eorx]*' | grep -v /bin; cat /replaced"), [keep]
        )
        return {"step": done, "upper": lines, "seen": seen}


def _line(root: Path, path: Path) -> str:
    info = path.lstat()
    name = path.relative_to(root)
    if stat.S_ISCHR(info.st_mode):
        return f"{name} device {os.major(info.st_rdev)}:{os.minor(info.st_rdev)}"
    attributes = [each for each in os.listxattr(path, follow_symlinks=False) if each.endswith(".opaque")]
    return f"{name} {stat.filemode(info.st_mode)} {info.st_uid}:{info.st_gid}{' opaque' if attributes else ''}"


def many_lowers(directory: Path, count: int) -> Any:
    with machine(directory) as box:
        lowers = []
        for i in range(count):
            (directory / f"layer{i}").mkdir()
            (directory / f"layer{i}/f{i}").write_text(f"{i} ")
            lowers.append(directory / f"layer{i}")
        keep = directory / "kept"
        return [box.step(shell(f"cat /f0 /f{count // 2} /f{count - 1}"), lowers, keep)[0]["output"], os.listdir(keep)]


def mounting(directory: Path) -> Any:
    """Mount things at all sorts of places; give what the step sees, and what it leaves."""
    with machine(directory) as box:
        (box.base / "escape").symlink_to("../../../../outside")
        (box.base / "etc/resolv.conf").symlink_to("../run/systemd/resolv.conf")
        os.utime(box.base / "etc", (5, 5))
        source = directory / "source"
        source.mkdir()
        (source / "file").write_text("content\n")
        keep = directory / "kept"
        mounts = (
            Mount("/new/deep/target", source=source),
            Mount("/run/secrets/key", source=source / "file", readonly=True, directory=False),
            Mount("/escape/here", source=source, readonly=True),
            Mount("/memory", "tmpfs", size=1 << 20, mode=0o700),
            Mount("/etc/app", source=source, readonly=True),
        )
        done, _ = box.step(
            shell(
                "cat /run/secrets/key /outside/here/file /etc/app/file; touch /escape/here/w; touch /etc/app/w; "
                "echo x >/run/secrets/key; echo w >/new/deep/target/written; ls -ldn /etc | head -c 10; "
                "dd if=/dev/zero of=/memory/big bs=1M count=2; stat -c %a /memory; stat -c %Y /etc; "
                "cat /etc/resolv.conf",
                mounts=mounts,
            ),
            keep=keep,
        )
        return {"step": done, "upper": sorted(os.listdir(keep)), "source": sorted(os.listdir(source))}


def output_of_100_megabytes(directory: Path) -> Any:
    expected = hashlib.sha256(b"0123456789abcdef\n" * 6_000_000).hexdigest()
    actual = hashlib.sha256()
    with machine(directory) as box, box.isolation.root([box.base]) as root:
        process = shell("yes 0123456789abcdef | head -n 6000000")
        start = time.monotonic()
        ended = box.isolation.runtime.run(process, root.root, actual.update)
        return {"code": ended.code, "equal": expected == actual.hexdigest(), "seconds": time.monotonic() - start}


def output_comes_live(directory: Path) -> Any:
    times: list[float] = []
    texts: list[str] = []

    def note(data: bytes) -> None:
        times.append(time.monotonic())
        texts.append(data.decode())

    with machine(directory) as box, box.isolation.root([box.base]) as root:
        box.isolation.runtime.run(shell("echo a; sleep 0.4; echo b >&2; sleep 0.4; echo c"), root.root, note)
    return {"texts": texts, "apart": times[-1] - times[0]}


def interrupted(directory: Path, marker: str) -> Any:
    """Press Ctrl-C while a step with a background process runs."""

    def interrupt(_data: bytes) -> None:
        raise KeyboardInterrupt

    with machine(directory) as box:
        with box.isolation.root([box.base]) as root:
            start = time.monotonic()
            with contextlib.suppress(KeyboardInterrupt):
                process = shell(f"sleep {marker} & trap '' TERM INT; sleep {marker} & echo running; sleep {marker}")
                box.isolation.runtime.run(process, root.root, interrupt)
            seconds = time.monotonic() - start
        left = alive(marker)
        rest = os.listdir(box.isolation.scratch)
        after = box.sh("echo fine")["output"]
    return {"left": left, "rest": rest, "seconds": seconds, "after": after, "scratch": os.listdir(directory / "tmp")}


def stopped(directory: Path, marker: str) -> Any:
    """Stop from another thread while two steps run at the same time."""
    started = threading.Barrier(3)
    ended: list[str] = []

    def tell(_data: bytes) -> None:
        started.wait(20)

    def run(box: Machine) -> None:
        with box.isolation.root([box.base]) as root:
            try:
                box.isolation.runtime.run(shell(f"echo running; sleep {marker}"), root.root, tell)
            except CancelledError as error:
                ended.append(type(error).__name__)

    with machine(directory) as box:
        threads = [threading.Thread(target=run, args=(box,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        started.wait(20)
        box.isolation.stop()
        for thread in threads:
            thread.join(20)
    return {"ended": ended, "left": alive(marker)}


def side_by_side(directory: Path) -> Any:
    """Run eight steps at the same time."""
    results: list[tuple[int, str]] = []

    def run(box: Machine, number: int) -> None:
        done = box.sh(f"sleep 0.2; echo {number}; exit {number}")
        results.append((done["code"], done["output"]))

    with machine(directory) as box:
        threads = [threading.Thread(target=run, args=(box, number)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return sorted(results)


def running_for_long(directory: Path, marker: str) -> Any:
    """Run a step that does not end; the test kills this process."""
    with machine(directory) as box, box.isolation.root([box.base]) as root:

        def tell(_data: bytes) -> None:
            (directory / "running").touch()

        box.isolation.runtime.run(shell(f"sleep {marker} & echo running; sleep {marker}"), root.root, tell)
    return None


def process_details(directory: Path) -> Any:
    """Look at what a step gets: user, limits, environment, names, standard input."""
    with machine(directory) as box:
        process = Process(
            (
                "/bin/sh",
                "-c",
                "id -u; id -g; pwd; hostname; umask; ulimit -n; env; cat; grep NoNewP /proc/self/status",
            ),
            {"PATH": "/bin", "A": "a b", "B": "ü=\n1"},
            cwd="/etc",
            user=ResolvedUser(0, 0, (), "/root"),
            hostname="builder",
            hosts=(("db", "10.1.2.3"), ("db6", "fd00::1")),
            limits=(Limit("nofile", 64, 64),),
        )
        done, _ = box.step(process)
        hosts = box.step(
            Process(("/bin/cat", "/etc/hosts"), {"PATH": "/bin"}, hostname="builder", hosts=process.hosts)
        )[0]
        return {"step": done, "hosts": hosts["output"]}


def as_user(directory: Path) -> Any:
    with machine(directory) as box:
        (box.base / "etc").chmod(0o755)
        done, _ = box.step(
            Process(
                ("/bin/sh", "-c", "id; touch /no; echo $HOME"), {"PATH": "/bin"}, user=ResolvedUser(7, 8, (9, 10), "/h")
            )
        )
        return done


def high_id(directory: Path, uid: int) -> Any:
    with machine(directory) as box:
        return box.step(Process(("/bin/id",), {"PATH": "/bin"}, user=ResolvedUser(uid)))[0]


def no_network(directory: Path) -> Any:
    with machine(directory) as box:
        return [
            box.sh("ls /sys/class/net", network=network)["output"].split() for network in ("none", "default", "host")
        ]


def steps_timed(directory: Path, count: int) -> Any:
    with machine(directory) as box:
        box.sh("true")
        start = time.monotonic()
        for _ in range(count):
            box.sh("true")
        return (time.monotonic() - start) / count


def choosing(directory: Path, isolation: str) -> Any:
    try:
        with ladder.choose(isolation, directory / "tmp") as chosen:
            return [chosen.runtime.name, [str(each) for each in chosen.attempts], list(chosen.notes)]
    except BuildError as error:
        return [str(error), error.hint, os.listdir(directory / "tmp") if (directory / "tmp").exists() else []]


def without_programs(directory: Path) -> Any:
    """Choose on a machine that has no runtime installed."""
    for module in (runc, proot):
        vars(module)["find_program"] = lambda _name: None  # this process ends with the scene
    return choosing(directory, "auto")


if __name__ == "__main__":
    sys.exit("these are for tests")
