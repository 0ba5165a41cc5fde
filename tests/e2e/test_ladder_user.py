"""The ways to run steps that an ordinary user has: without root, containers and a whole Debian."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_ladder import SMALL, build, differing, material_for, view
from tests.support import bases
from tests.support.programs import need

if TYPE_CHECKING:
    from tests.support.programs import Pybuild

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(os.geteuid() == 0, reason="root has all of test_ladder.py")]

WAYS = {
    "single": ("auto", "isolation: runc with one id, owners written down"),
    "traced": ("proot", "isolation: proot, owners written down"),
}


def elsewhere(pybuild: Pybuild, name: str) -> Pybuild:
    """Give the same with a store of its own, which knows no step yet."""
    made = replace(pybuild, store=pybuild.store.with_name(name))
    bases.put(made.layout, bases.busybox(), bases.BUSYBOX)
    return made


def test_a_small_image_is_the_same_in_every_way(based: Pybuild) -> None:
    """By runc with all ids, by runc with one, and by proot; what each is, the log says."""
    need("proot", "unshare")
    material_for(based.store.parent / "context")
    assert "isolation: runc with " in build(based, "app", "auto", SMALL)
    best = view(based, "app")

    for name, (isolation, said) in WAYS.items():
        pybuild = elsewhere(based.without("newuidmap", "newgidmap"), name)
        log = build(pybuild, "app", isolation, SMALL)
        assert said in log
        assert [] == differing(best, view(pybuild, "app"))
        assert [] == pybuild.left()
