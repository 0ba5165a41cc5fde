"""Options that a command has not: which was meant, or what there is in the place of one that Docker has."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from click import NoSuchOption, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

_CUTOFF = 0.72
"""How alike two names are, from 0 to 1: ``lables`` is ``label``, and ``squash`` is not ``push``."""
_ATTESTATIONS = "no attestations are made"
_CACHES = "the build cache is in the store, and --root may name one that builds share"
_BUILD = {
    "--attest": _ATTESTATIONS,
    "--provenance": _ATTESTATIONS,
    "--sbom": _ATTESTATIONS,
    "--builder": "there is one builder, and no daemon to choose",
    "--cache-from": _CACHES,
    "--cache-to": _CACHES,
    "--compress": "nothing is sent anywhere to be built",
    "--force-rm": "steps leave no containers",
    "--rm": "steps leave no containers",
    "--print": "there is --call outline",
    "--security-opt": "there are --isolation, and RUN --security=insecure with --allow security.insecure",
    "--squash": "build in one stage and COPY --from it into a last one",
}


def corrected(error: NoSuchOption, known: Iterable[str], command: str) -> UsageError:
    """Give the error that tells what to write for an option; ``known`` are those that the command has."""
    reason = _BUILD.get(error.option_name) if command == "build" else None
    if reason is not None:
        return UsageError(f"{error.option_name} is not supported: {reason}", error.ctx)
    meant = _nearest(error.option_name, [name for name in known if name.startswith("--")])
    hint = f" Did you mean {meant}?" if meant else ""
    return UsageError(f"{error.message}{hint}", error.ctx)


def _nearest(name: str, known: list[str]) -> str:
    """Give the option that begins as this one does, or else is much like it; the dashes make nothing alike."""
    word = name.lstrip("-")
    bare = {each.lstrip("-"): each for each in known}
    if len(word) < 2:
        return ""
    beginning = [each for each in bare if each.startswith(f"{word}-") or word.startswith(f"{each}-")]
    alike = [each for each in bare if each[:1] == word[:1]]  # nobody mistypes the first letter
    found = beginning or get_close_matches(word, alike, n=1, cutoff=_CUTOFF)
    return bare[found[0]] if found else ""
