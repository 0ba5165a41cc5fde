"""What surprises people about Dockerfiles, numbered; tests say which of them they prove: ``@trap(12)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_Test = TypeVar("_Test", bound="Callable[..., object]")

TRAPS: dict[int, str] = {
    1: "an escape at a line's end continues it unless it is itself escaped; comments inside vanish, blanks stay",
    2: "directives end at the first line that is none; one given twice is an error",
    3: "JSON that cannot be read is shell form without a word; an array of other things than strings is an error",
    4: "flags lead the line and end at --; a switch takes true and false; a flag given twice is an error",
    5: "ENV and LABEL without = in the first word take the rest of the line as one value; mixing is an error",
    6: "a heredoc ends at a line that is its name and nothing else, after tabs with <<-; several are read in order",
    7: "a heredoc alone is the shell's text, or a program if it begins with #!; with other words the shell reads it",
    8: "a heredoc of COPY is a file 0644 of root named after it, expanded with the backslash, its quotes kept",
    9: "ENV sees the values before its line; ARG sees those before it on its line",
    10: "global ARGs are seen by FROM alone; a stage takes one by naming it, with its value",
    11: "a stage on a stage has its ENVs and ARGs; COPY --from brings neither",
    12: "an ARG after an ENV of its name wins for the build and leaves the image's ENV alone",
    13: "--build-arg k= sets k to nothing; --build-arg k takes it from outside, or not at all",
    14: "platform arguments are seen in a stage only once it declares them; TARGETVARIANT is v7 for arm, else empty",
    15: "proxies reach RUN in both cases without ARG, and neither history nor cache key unless declared",
    16: "an unset variable is nothing, and only titles show it as written; an empty base name is an error",
    17: "$@ and $? are names of one character, $10 is one number: none is set; an unknown modifier is an error",
    18: "RUN, CMD, ENTRYPOINT, HEALTHCHECK, SHELL and MAINTAINER are not expanded",
    19: "stages' names are lower case, but FROM looks one up as written",
    20: "COPY --from takes a stage's number; RUN --mount does not",
    21: "a stage sees earlier stages only; another name is an image, and a named context goes before both",
    22: "the later of two stages of one name counts for what follows",
    23: "triggers run right after FROM, in order, once, also those of a stage; they make no history entry",
    24: "a trigger is one instruction, and no ONBUILD, FROM or MAINTAINER",
    25: "a base without PATH gets one, scratch too, which also gets / as its working directory",
    26: "config is inherited, the time of the base is not; --label is for the target and wins",
    27: "only stages that the target needs are built; --target is in any case",
    28: "ENTRYPOINT clears an inherited CMD and keeps one of its own stage",
    29: "ENTRYPOINT [] and CMD [] leave nothing, a bare CMD is an empty shell form, and a CMD sets ArgsEscaped",
    30: "SHELL is for all later shell forms and inherited; HEALTHCHECK uses CMD-SHELL",
    31: "HEALTHCHECK's times are nanoseconds, 0 where not given, and at least a millisecond; NONE is NONE",
    32: "EXPOSE is sorted before it is expanded, ranges become ports, protocols lower case, tcp by default",
    33: "what is written below a VOLUME later stays",
    34: "STOPSIGNAL is checked, and stored as written",
    35: "USER is stored as written; RUN looks it up in the image, and an unknown name is an error",
    36: "--chown: a bare number is user and group, a name brings its group, an unknown name is 0",
    37: "WORKDIR is relative to the last, makes its directory for USER, and is a layer even where nothing is made",
    38: "a slash at the destination's end makes it a directory",
    39: "several sources without a slash leave the last one",
    40: "a directory brings its contents, each one that a wildcard finds too",
    41: "wildcards are those of filepath.Match; one that finds nothing is no error, a plain path is",
    42: "a source's leading slash and .. end at the root of the context",
    43: "a link named as source or destination is followed; one inside a tree is copied; --link replaces it",
    44: "merging: an existing top directory keeps all but its time, those inside get what the source has",
    45: "missing parents are 0755 and --chown's; an octal --chmod reaches them and directories inside",
    46: "files of the context are root's; files of a stage keep their owners; setuid stays",
    47: "chown comes before chmod, so that setuid survives",
    48: "--link with --chmod works; a --link layer has all parents from the root",
    49: "--parents keeps what follows /./, and insists on paths without wildcards",
    50: "--exclude is relative to the source, may be repeated and may have exceptions",
    51: "ADD unpacks what looks like an archive inside, as a directory; --chmod does not reach its members",
    52: "ADD of a URL: 0600, the server's time, the URL's last name",
    53: "ADD of a git repository needs .git; its files are 0644 and 0755, and .git is left out",
    54: "COPY of a URL is an error",
    55: ".dockerignore: the last match wins, parents count, # only in the first column, ! brings back",
    56: "the history's words are those of BuildKit, with # buildkit behind RUN, COPY and ADD",
    57: "RUN, COPY, ADD and WORKDIR are layers even where nothing changed; all else is empty",
    58: "a step without a layer has the time of the layer beside it",
    59: "SOURCE_DATE_EPOCH lowers new times and leaves the base's alone",
    60: "the config's keys are sorted, and those nobody knows stay",
    61: "layers are PAX with whole seconds, without user names; parents come before what changed",
    62: "a whiteout is an empty file of mode 0, and only for what was there; opaque hides lower layers only",
    63: "a hard link's first name has the data, and its target is relative to the root",
    64: "directories have their time after all that is in them",
    65: "what a command leaves as it was is not in its layer",
    66: "nothing of what is mounted for a command stays in its layer",
    67: "RUN has the stage's variables and nothing of the caller's",
    68: "a missing secret is no error unless required; it is a file 0400, or a variable, and never in the key",
    69: "a cache mount is known by its target; bind mounts are read-only, and what rw writes is lost",
    70: "COPY's key has the content and the last name of its source, not where the context lies",
    71: "a file's time is never part of the key",
    72: "RUN's key has its words, variables, directory, user, network and mounts, and no proxies",
    73: "LABEL and CMD before a RUN do not make it run again",
    74: "bases are known by their digest: a name that moved is noticed",
    75: "the key of a step is made of contents, never of times or of the history's words",
}


def trap(*numbers: int) -> Callable[[_Test], _Test]:
    """Mark a test as the proof of these traps."""
    assert set(numbers) <= set(TRAPS)
    return lambda test: test
