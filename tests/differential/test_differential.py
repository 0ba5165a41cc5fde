"""pybuild and a real BuildKit build the same images of the same Dockerfiles.

The BuildKit is the one in Debian's Docker. Where it is older than what pybuild follows, the case says so; see
``case.py`` for how.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.differential.case import read_cases
from tests.differential.compare import Difference, differences

if TYPE_CHECKING:
    from pathlib import Path

    from tests.differential.case import Case
    from tests.differential.workshop import Built, Workshop

pytestmark = [
    pytest.mark.root,
    pytest.mark.e2e,
    pytest.mark.differential,
    pytest.mark.xdist_group("differential"),
]


@pytest.mark.parametrize("case", read_cases(), ids=lambda case: case.name)
def test_both_builders_build_the_same(case: Case, workshop: Workshop, tmp_path: Path) -> None:
    ours, theirs = workshop.build(case, tmp_path)

    fails = case.fails or {"ours": None, "theirs": None}
    _check(ours, fails["ours"])
    _check(theirs, fails["theirs"])
    if ours.image is not None and theirs.image is not None:
        found = differences(ours.image, theirs.image, history=case.older is None)
        expected = [Difference(each["at"], each["ours"], each["theirs"]) for each in case.expected]
        unexpected = [each for each in found if each not in expected]
        missing = [each for each in expected if each not in found]
        assert not unexpected, _listed(unexpected)
        assert not missing, f"these differences are expected, and are no more:\n{_listed(missing)}"


def _check(built: Built, message: str | None) -> None:
    """Check that a build went well, or failed with a message."""
    if message is None:
        assert built.image is not None, built.said[-1500:]
    else:
        assert built.image is None, f"this should have failed: {message}"
        assert message in built.said, built.said[-1500:]


def _listed(found: list[Difference]) -> str:
    return "\n".join(f"{each.at}: {json.dumps(each.ours)} here, {json.dumps(each.theirs)} there" for each in found)
