"""The options of ``pybuild build``, one alias each, and what they come to."""

from __future__ import annotations

from typing import Annotated

import typer

from layers.frozen import frozen

_Several = list[str] | None

Context = Annotated[
    str,
    typer.Argument(help="Directory, tar, URL or git repository; - for a tar or a Dockerfile on standard input."),
]
Tags = Annotated[_Several, typer.Option("-t", "--tag", metavar="NAME", help="Name the image: name[:tag]; repeatable.")]
File = Annotated[str, typer.Option("-f", "--file", help="The Dockerfile: a path, or - for standard input.")]
BuildArgs = Annotated[
    _Several, typer.Option("--build-arg", metavar="NAME[=VALUE]", help="Set an ARG; the value may come from outside.")
]
Target = Annotated[str, typer.Option("--target", metavar="STAGE", help="Build this stage.")]
Labels = Annotated[_Several, typer.Option("--label", metavar="KEY=VALUE", help="Set a label.")]
Annotations = Annotated[_Several, typer.Option("--annotation", metavar="KEY=VALUE", help="Annotate the manifest.")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Carry out every step anew.")]
Pull = Annotated[bool, typer.Option("--pull", help="Ask the registries for newer base images.")]
PlatformName = Annotated[str, typer.Option("--platform", help="The image's platform: os/architecture[/variant].")]
Network = Annotated[
    str,
    typer.Option(
        "--network", help="Network of RUN steps: default (their own by slirp4netns, else host), none or host."
    ),
]
AddHosts = Annotated[
    _Several, typer.Option("--add-host", metavar="NAME:ADDRESS", help="Add a line to /etc/hosts of RUN steps.")
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print the image's id and nothing else.")]
Profile = Annotated[
    str, typer.Option("--profile", metavar="FILE", help="Write where the time went, for a browser's trace viewer.")
]
ProgressMode = Annotated[str, typer.Option("--progress", help="auto, plain, tty, quiet or rawjson.")]
IidFile = Annotated[str, typer.Option("--iidfile", metavar="FILE", help="Write the image's id to a file.")]
MetadataFile = Annotated[
    str, typer.Option("--metadata-file", metavar="FILE", help="Write the result's digests to a file, as JSON.")
]
Load = Annotated[bool, typer.Option("--load", help="Load the image into Docker.")]
Push = Annotated[bool, typer.Option("--push", help="Push the image to where its names lead.")]
Outputs = Annotated[
    _Several,
    typer.Option("-o", "--output", metavar="SPEC", help="type=docker|oci|tar|local|registry|image[,dest=PATH]..."),
]
Secrets = Annotated[
    _Several,
    typer.Option("--secret", metavar="id=NAME[,src=FILE|env=VARIABLE]", help="Let RUN steps mount a secret."),
]
SecretScan = Annotated[
    str,
    typer.Option(
        "--secret-scan",
        metavar="MODE",
        help="What it is that a --secret's value gets into the image: error, warn or off.",
    ),
]
Agents = Annotated[
    _Several, typer.Option("--ssh", metavar="default|ID=SOCKET|KEY", help="Let RUN steps use an SSH agent or keys.")
]
BuildContexts = Annotated[
    _Several,
    typer.Option(
        "--build-context",
        metavar="NAME=SOURCE",
        help="Use a directory, tar, URL, git repository, docker-image:// or oci-layout:// as a stage or image.",
    ),
]
ShmSize = Annotated[str, typer.Option("--shm-size", metavar="BYTES", help="Size of /dev/shm in RUN steps, as in 64m.")]
Ulimits = Annotated[
    _Several, typer.Option("--ulimit", metavar="TYPE=SOFT[:HARD]", help="A resource limit of RUN steps.")
]
CgroupParent = Annotated[
    str, typer.Option("--cgroup-parent", metavar="PATH", help="The control group in which each RUN step gets its own.")
]
Memory = Annotated[
    str, typer.Option("-m", "--memory", metavar="BYTES", help="Memory that a RUN step may take in all, as in 512m.")
]
MemorySwap = Annotated[
    str, typer.Option("--memory-swap", metavar="BYTES", help="Memory and swap together; -1 for any amount of swap.")
]
CpuShares = Annotated[int, typer.Option("-c", "--cpu-shares", help="Weight of RUN steps; 1024 is the usual.")]
CpuQuota = Annotated[int, typer.Option("--cpu-quota", help="Microseconds of processor time in each --cpu-period.")]
CpuPeriod = Annotated[int, typer.Option("--cpu-period", help="Microseconds, from 1000 to 1000000.")]
CpusetCpus = Annotated[
    str, typer.Option("--cpuset-cpus", metavar="LIST", help="Processors that RUN steps may use, as in 0-2,7.")
]
CpusetMems = Annotated[str, typer.Option("--cpuset-mems", metavar="LIST", help="Nodes of memory, likewise.")]
Allow = Annotated[
    _Several, typer.Option("--allow", metavar="WHAT", help="Let RUN ask for security.insecure or network.host.")
]
NoCacheFilters = Annotated[
    _Several, typer.Option("--no-cache-filter", metavar="STAGE", help="Carry out every step of these stages anew.")
]
Debug = Annotated[
    bool, typer.Option("--debug", help="Open a shell in the root file system of a RUN that failed, as it left it.")
]
KeepFailed = Annotated[
    str,
    typer.Option("--keep-failed", metavar="NAME", help="Make an image of this name of what a failed RUN has left."),
]
CallMethod = Annotated[
    str,
    typer.Option("--call", metavar="METHOD", help="build, or instead check, outline or targets; with ,format=json."),
]
Check = Annotated[bool, typer.Option("--check", help="As --call check: look for mistakes, build nothing.")]
Format = Annotated[str, typer.Option("--format", metavar="FORMAT", help="How --call answers: text or json.")]
Root = Annotated[str, typer.Option("--root", metavar="DIR", help="The store; default: PYBUILD_ROOT, or in your home.")]


@frozen
class Options:
    """What one command line asked for; the fields are the options' names."""

    context: str
    file: str
    tags: tuple[str, ...]
    build_args: tuple[str, ...]
    target: str
    labels: tuple[str, ...]
    annotations: tuple[str, ...]
    no_cache: bool
    pull: bool
    platform: str
    network: str
    add_hosts: tuple[str, ...]
    quiet: bool
    progress: str
    iidfile: str
    metadata_file: str
    load: bool
    push: bool
    outputs: tuple[str, ...]
    isolation: str
    root: str
    secrets: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    build_contexts: tuple[str, ...] = ()
    shm_size: str = ""
    ulimits: tuple[str, ...] = ()
    limits: tuple[str, str, str, int, int, int, str, str] = ("", "", "", 0, 0, 0, "", "")
    """``--cgroup-parent`` to ``--cpuset-mems``."""
    allow: tuple[str, ...] = ()
    no_cache_filters: tuple[str, ...] = ()
    profile: str = ""
    debug: bool = False
    keep_failed: str = ""
    scan: str = "error"
