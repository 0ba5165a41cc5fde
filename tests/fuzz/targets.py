"""All targets by name, each with the words that a fuzzer would not find by itself."""

from __future__ import annotations

from tests.fuzz import dockerfiles, documents, headers, options, paths, tars
from tests.fuzz.target import Target

_DOCKERFILE = (
    *("FROM scratch\n", "RUN ", "COPY ", "ADD ", "ENV ", "LABEL ", "ARG ", "WORKDIR ", "USER ", "CMD ", "ENTRYPOINT "),
    *("EXPOSE ", "VOLUME ", "SHELL ", "STOPSIGNAL ", "HEALTHCHECK ", "ONBUILD ", "MAINTAINER ", "NONE", " AS ", "\\\n"),
    *("--from=", "--mount=type=", "--chown=", "--chmod=", "--link", "--parents", "--exclude=", "--interval=", "<<EOF"),
    *("<<-", "\nEOF\n", "# escape=`\n", "# check=skip=", "# syntax=", '["a", "b"]', "${a:-", "${a##*", "${a//x/y}"),
)
_WORD = ("${", "}", "$a", "${a:-", "${b:+", "${HOME##*/}", "${HOME%.tar*}", "${a//x/y}", "${a/#", ":?", "[!a]", "**")
_JSON = (
    *('"schemaVersion":2', '"mediaType":', '"config":', '"layers":[', '"manifests":[', '"digest":"sha256:', '"size":'),
    *('"platform":{', '"os":"linux"', '"architecture":"amd64"', '"rootfs":{', '"diff_ids":[', '"history":[', '"type":'),
    *('"created":', '"Env":[', '"Labels":{', '"Healthcheck":{', '"blobs":[', '"diff_id":', '"annotations":{', "null"),
)
_TAR = ("ustar\x00", "path=", "SCHILY.xattr.", "GNU.sparse.", ".wh.", ".wh..wh..opq", "mtime=", "../", "linkpath=")
_TEMPLATE = (
    *(
        "{{",
        "}}",
        "{{-",
        "-}}",
        "{{if ",
        "{{else}}",
        "{{end}}",
        "{{range ",
        "{{with ",
        "{{json .}}",
        "printf ",
        "$x :=",
    ),
    *(".Config.Env", ".Size", "index ", "len ", "slice ", "eq ", "and ", "not ", "join ", "truncate", "{{break}}", "|"),
)

TARGETS = {
    "dockerfile": Target(dockerfiles.dockerfile, words=_DOCKERFILE),
    "trigger": Target(dockerfiles.trigger, words=_DOCKERFILE),
    "word": Target(dockerfiles.word, words=_WORD),
    "mount": Target(
        dockerfiles.mount,
        size=1024,
        words=("type=cache", "type=bind", "type=secret", "type=ssh", "type=tmpfs", ",target=", ",id=", ",mode=0"),
    ),
    "ignore": Target(paths.ignore, words=("**/", "*", "!", "[a-", "]", "?", "\\", "../", "#")),
    "wildcards": Target(paths.wildcards, size=1024, words=("**/", "[^", "[a-z]", "\\")),
    "names": Target(
        paths.names, size=512, words=("docker.io/", "sha256:", ":latest", "@", "linux/arm/v7", "windows(10.0)", "/")
    ),
    "tar": Target(tars.tar, size=8192, words=_TAR),
    "index": Target(
        tars.index_file, words=('"format":"pybuild layer index 1"', '"columns":[', '"shapes":[', '"count":')
    ),
    "compression": Target(tars.compression, words=("\x1f\x8b\x08", "BZh9", "\x04\x22\x4d\x18")),
    "archive": Target(
        tars.archive, words=("\n%%\n", "manifest.json\n", "index.json\n", "oci-layout\n", "@1", "#1", *_JSON)
    ),
    "document": Target(documents.document, words=_JSON),
    "challenge": Target(headers.challenge, words=("Bearer ", "Basic ", "realm=", "scope=", '"', "\\", "service=", ",")),
    "headers": Target(
        headers.headers,
        words=(
            "<",
            '>; rel="next"',
            "https://registry.example",
            "bytes 2-6/7",
            "sha256:",
            "Fri, 31 Dec 1999 23:59:59 GMT",
        ),
    ),
    "refused": Target(headers.refused, words=('"errors":[', '"code":', '"message":', '"details":')),
    "template": Target(options.template, size=1024, words=_TEMPLATE),
    "numbers": Target(
        options.numbers, size=256, words=("1.5GB", "nofile=", "T23:59:59Z", "9999-12-31", "u+x", "SIGRTMIN+")
    ),
    "options": Target(
        options.options,
        size=1024,
        words=(
            "type=",
            "dest=",
            "id=",
            "src=",
            "env=",
            "[::1]",
            "host-gateway",
            "manifest:",
            "skip=all",
            "80-90/tcp",
            "=",
        ),
    ),
    "users": Target(options.users, size=1024, words=("root:", ":0:0:", "\n", "%%", "me:staff")),
    "repository": Target(
        options.repository, size=512, words=("https://", ".git", "#", "?ref=", "git@", "github.com/", ":")
    ),
}
