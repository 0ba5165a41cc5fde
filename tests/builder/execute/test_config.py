"""Instructions that change only the config, and the history they write."""

from __future__ import annotations

from dataclasses import replace

from builder.dockerfile import instructions as ins
from builder.errors import SourceRange
from builder.execute.config import configure, working_directory
from builder.execute.state import DEFAULT_PATH, BuildState, from_image, from_scratch, from_stage
from layers import mutate
from layers.config import ContainerConfig, History, ImageConfig
from layers.platform import Platform

HERE = SourceRange("Dockerfile", 1, 1)
AMD64 = Platform("linux", "amd64")


def scratch() -> BuildState:
    return from_scratch(AMD64)


def last(state: BuildState) -> str:
    return state.config.history[-1].created_by


def env(state: BuildState, *pairs: tuple[str, str]) -> BuildState:
    return configure(state, ins.Env(pairs, where=HERE, text="ENV"))


def arg(state: BuildState, *pairs: tuple[str, str | None]) -> BuildState:
    return configure(state, ins.Arg(pairs, where=HERE, text="ARG"))


def cmd(state: BuildState, *words: str, shell: bool = False) -> BuildState:
    return configure(state, ins.Cmd(words, shell, where=HERE, text="CMD"))


def entrypoint(state: BuildState, *words: str, shell: bool = False) -> BuildState:
    return configure(state, ins.Entrypoint(words, shell, where=HERE, text="ENTRYPOINT"))


def test_scratch_stores_a_path_and_the_root_as_working_directory() -> None:
    """Semantics of BuildKit's emptyImage."""
    assert (f"PATH={DEFAULT_PATH}",) == scratch().container.env
    assert scratch().container.working_dir == "/"


def test_a_base_without_path_gets_one_and_its_time_and_triggers_are_dropped() -> None:
    container = ContainerConfig(env=("A=1",), on_build=("RUN x",))
    image = mutate.assemble(ImageConfig(AMD64, container, history=(History(),), created="2020-01-01T00:00:00Z"), ())
    state = from_image(image, AMD64)
    assert ("A=1", f"PATH={DEFAULT_PATH}") == state.container.env
    assert state.container.on_build == ()
    assert state.config.created is None
    assert state.inherited == 1


def test_env_replaces_in_place_and_appends_what_is_new() -> None:
    state = env(env(scratch(), ("A", "1"), ("B", "2")), ("A", "3"), ("C", "4"))
    assert (f"PATH={DEFAULT_PATH}", "A=3", "B=2", "C=4") == state.container.env
    assert last(state) == "ENV A=3 C=4"


def test_an_arg_after_env_wins_for_later_steps_and_leaves_the_image_alone() -> None:
    state = arg(env(scratch(), ("A", "env")), ("A", "arg"))
    assert state.environment["A"] == "arg"
    assert "A=env" in state.container.env


def test_an_arg_without_value_is_declared_and_sets_nothing() -> None:
    state = arg(scratch(), ("A", None), ("B", "2"))
    assert "A" not in state.environment
    assert {"A": None, "B": "2"} == state.arguments
    assert last(state) == "ARG A B=2"


def test_entrypoint_clears_an_inherited_cmd_and_keeps_one_of_its_own_stage() -> None:
    assert entrypoint(cmd(scratch(), "a"), "b").container.cmd == ("a",)
    assert entrypoint(from_stage(cmd(scratch(), "a")), "b").container.cmd is None


def test_an_empty_entrypoint_is_none_and_an_empty_cmd_is_empty() -> None:
    assert entrypoint(scratch()).container.entrypoint is None
    assert cmd(scratch()).container.cmd == ()


def test_shell_form_goes_through_the_shell_in_force() -> None:
    state = configure(scratch(), ins.Shell(("/bin/bash", "-c"), where=HERE, text="SHELL"))
    assert last(state) == "SHELL [/bin/bash -c]"
    state = cmd(state, "echo hi", shell=True)
    assert state.container.cmd == ("/bin/bash", "-c", "echo hi")
    assert last(state) == 'CMD ["/bin/bash" "-c" "echo hi"]'


def test_a_health_check_in_shell_form_uses_the_shell_at_run_time() -> None:
    check = ins.Healthcheck(("curl x",), shell=True, interval=300 * 10**9, timeout=3 * 10**9, where=HERE, text="")
    state = configure(scratch(), check)
    assert state.container.healthcheck is not None
    assert state.container.healthcheck.test == ("CMD-SHELL", "curl x")
    expected = (
        "HEALTHCHECK {Test:[CMD-SHELL curl x] Interval:5m0s Timeout:3s StartPeriod:0s StartInterval:0s Retries:0}"
    )
    assert expected == last(state)


def test_health_check_none_takes_an_inherited_one_away() -> None:
    state = configure(scratch(), ins.Healthcheck(None, where=HERE, text=""))
    assert state.container.healthcheck is not None
    assert state.container.healthcheck.test == ("NONE",)


def test_ports_and_volumes_are_sets() -> None:
    state = configure(scratch(), ins.Expose(("443/tcp", "80/tcp"), where=HERE, text=""))
    state = configure(state, ins.Expose(("80/tcp",), where=HERE, text=""))
    state = configure(state, ins.Volume(("/b", "/a"), where=HERE, text=""))
    assert state.container.exposed_ports == ("443/tcp", "80/tcp")
    assert state.container.volumes == ("/a", "/b")
    assert last(state) == "VOLUME [/b /a]"


def test_onbuild_is_kept_without_a_history_entry() -> None:
    state = configure(scratch(), ins.Onbuild("RUN make", where=HERE, text=""))
    assert state.container.on_build == ("RUN make",)
    assert state.config.history == ()


def test_the_maintainer_is_the_author() -> None:
    state = configure(scratch(), ins.Maintainer("Ada", where=HERE, text=""))
    assert state.config.author == "Ada"
    assert last(state) == "MAINTAINER Ada"


def test_a_working_directory_is_relative_to_the_one_before_and_kept_as_written() -> None:
    state = scratch()
    assert working_directory(state, "a/../b") == "/b"
    assert working_directory(state, "/a/") == "/a/"


def test_a_relative_working_directory_cleans_the_one_it_is_joined_to() -> None:
    state = replace(scratch(), config=replace(scratch().config, config=ContainerConfig(working_dir="/x//y/../z/")))
    assert working_directory(state, "a") == "/x/z/a"
    assert working_directory(state, ".") == "/x/z"
    assert working_directory(state, "") == "/x//y/../z/"
