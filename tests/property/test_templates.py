"""Laws of templates: whatever is written, a template gives a text or says why not."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from builder.cli.template import Template, TemplateError
from builder.cli.template_functions import FUNCTIONS, to_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ABC"), inner, max_size=3),
    max_leaves=10,
)
WORDS = st.sampled_from(
    [
        *(".", ".A", ".B.C", "$", "$x", "$x := .A", "1", "-2", "0.5", '"s"', "`r`", "true", "nil", "|", "(", ")", ","),
        *(
            "if",
            "else",
            "else if",
            "end",
            "range",
            "range $i, $e :=",
            "with",
            "break",
            "continue",
            "and",
            "or",
            "-",
            "/*",
        ),
        *FUNCTIONS,
    ]
)
ACTIONS = st.lists(WORDS, max_size=6).map(lambda words: "{{" + " ".join(words) + "}}")
TEMPLATES = st.lists(ACTIONS | st.text(max_size=5) | st.sampled_from(["{{", "}}", "{{- ", " -}}"]), max_size=8)


@given(parts=TEMPLATES, value=VALUES)
@example(parts=["{{slice .A 1 0}}"], value={"A": "x"})
@example(parts=['{{printf "%c" -1}}'], value=None)
@example(parts=['{{pad "x" 99999999999 1}}'], value=None)
def test_a_template_gives_a_text_or_an_error(parts: list[str], value: Any) -> None:
    try:
        text = Template.parse("".join(parts)).render(value)
    except TemplateError:
        return
    assert isinstance(text, str)


@given(text=st.text(alphabet=st.characters(exclude_characters="{}")))
def test_text_without_actions_stays_as_it_is(text: str) -> None:
    assert text == Template.parse(text).render(None)


@given(value=VALUES)
def test_json_is_read_back(value: Any) -> None:
    assert value == json.loads(Template.parse("{{json .}}").render(value))
    assert to_json(value) == Template.parse("{{json $}}").render(value)
