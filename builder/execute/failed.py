"""A RUN that has failed: a shell where it was, and an image of what it left."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from builder.errors import LeakError
from builder.events import Noted
from builder.execute.commit import commit
from builder.execute.times import dated
from builder.runtime.owners import Owners
from layers import mutate
from layers.frozen import frozen

if TYPE_CHECKING:
    from builder.events import Step
    from builder.execute.site import Site
    from builder.execute.state import BuildState
    from builder.runtime.roots import Root
    from builder.runtime.runtime import Exit, Process


@frozen
class Failed:
    """What has failed, while its root file system and its mounts are still there."""

    process: Process
    ended: Exit
    root: Root
    created_by: str
    """The step in the history's words."""


def inspect(site: Site, state: BuildState, step: Step, failed: Failed) -> None:
    """Do what the user wants of a failed step: open a shell, keep its files, or nothing.

    Raises:
        IsolationError: the shell cannot be started.
    """
    settings = site.settings
    if settings.terminal is not None:
        site.listener(Noted(step, f"{state.shell[0]} where the step has failed; exit ends the build"))
        shell = replace(failed.process, arguments=state.shell[:1], terminal=settings.terminal)
        site.machine().runtime.run(shell, failed.root.path, lambda _: None)
    if settings.keep_failed is not None:
        user, ended = failed.process.user, failed.ended
        owners = Owners(user.uid, user.gid, ended.owned, ended.shown)
        try:
            left = commit(site, state, failed.root.changes(owners), failed.created_by, None)
        except LeakError as error:  # that the step has failed is what the user is to hear
            site.listener(Noted(step, f"what it left is not kept: {error.message}"))
            return
        image = mutate.assemble(dated(left.config, left.inherited, settings.epoch), left.layers)
        site.layout.tag(settings.keep_failed, site.layout.put(image))
        site.listener(Noted(step, f"what it left is kept as the image {settings.keep_failed}"))
