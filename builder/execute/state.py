"""Everything that the next instruction can see."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING

from layers.config import ContainerConfig, History, ImageConfig, chain_ids
from layers.digest import Digest
from layers.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from layers.image import Image, Layer
    from layers.platform import Platform

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHELL = ("/bin/sh", "-c")
COMMENT = "buildkit.dockerfile.v0"
"""The history comment by which tools know a Dockerfile's steps; other builders write the same."""


@frozen
class BuildState:
    """An image in the making, and the variables of its stage."""

    config: ImageConfig
    """Its ``created`` and those of new history entries are set when the build is finished."""
    layers: tuple[Layer, ...] = ()
    chain: Digest | None = None
    """The chain id of ``layers``; None for no layer."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What ``${}`` and a RUN's process see: ENV and ARG, in order, the later of one name winning."""
    arguments: Mapping[str, str | None] = field(default_factory=dict)
    """The ARGs of this stage in order; None where one has no value."""
    cmd_set: bool = False
    """Whether this stage, and not one below it, has a CMD."""
    inherited: int = 0
    """How many history entries came with the base image."""

    @property
    def container(self) -> ContainerConfig:
        return self.config.config

    @property
    def shell(self) -> tuple[str, ...]:
        return self.container.shell or DEFAULT_SHELL

    @property
    def working_dir(self) -> str:
        return self.container.working_dir or "/"


def from_scratch(platform: Platform) -> BuildState:
    """Give the state of ``FROM scratch``."""
    container = ContainerConfig(env=(f"PATH={DEFAULT_PATH}",), working_dir="/")
    return BuildState(ImageConfig(platform, container), environment={"PATH": DEFAULT_PATH})


def from_image(image: Image, platform: Platform) -> BuildState:
    """Give the state of ``FROM image``: its config without times, and a PATH where it has none."""
    container = image.config.config
    environment = dict(_pair(variable) for variable in container.env)
    if "PATH" not in environment:
        environment = {**environment, "PATH": DEFAULT_PATH}
        container = replace(container, env=(*container.env, f"PATH={DEFAULT_PATH}"))
    container = replace(container, on_build=())
    config = replace(image.config, config=container, created=None, platform=_requested(platform, image.platform))
    chains = chain_ids(config.diff_ids)
    chain = chains[-1] if chains else None
    return BuildState(config, image.layers, chain, environment, inherited=len(config.history))


def _requested(wanted: Platform, found: Platform) -> Platform:
    """Give the platform that the result names: the one asked for, with the base's version of the system."""
    return replace(wanted, os_version=found.os_version, os_features=found.os_features)


def from_stage(state: BuildState) -> BuildState:
    """Give the state of ``FROM stage``: all of it, but a CMD of that stage is not of this one."""
    container = replace(state.container, on_build=())
    return replace(state, config=replace(state.config, config=container), cmd_set=False)


def with_container(state: BuildState, created_by: str, **changes: object) -> BuildState:
    """Give the state with fields of its container config changed and an empty history entry."""
    container = replace(state.container, **changes)  # type: ignore[arg-type] # the fields' types are the callers' duty
    return with_history(replace(state, config=replace(state.config, config=container)), created_by)


def with_history(state: BuildState, created_by: str) -> BuildState:
    """Give the state with a history entry for a step that made no layer."""
    entry = History(created_by=created_by, comment=COMMENT, empty_layer=True)
    return replace(state, config=replace(state.config, history=(*state.config.history, entry)))


def with_layer(state: BuildState, layer: Layer, created_by: str, created: str) -> BuildState:
    """Give the state with one more layer and its history entry."""
    entry = History(created=created, created_by=created_by, comment=COMMENT)
    config = replace(
        state.config,
        diff_ids=(*state.config.diff_ids, layer.diff_id),
        history=(*state.config.history, entry),
    )
    chain = Digest.of(f"{state.chain} {layer.diff_id}".encode()) if state.chain else layer.diff_id
    return replace(state, config=config, layers=(*state.layers, layer), chain=chain)


def _pair(variable: str) -> tuple[str, str]:
    name, _, value = variable.partition("=")
    return name, value
