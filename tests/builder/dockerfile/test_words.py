"""Words: quotes, escapes, variables and their modifiers."""

from __future__ import annotations

import pytest

from builder.dockerfile.words import expand_word, expand_words, lex
from builder.errors import DockerfileError, SourceRange

ENV = {
    "BIG": "B" * (9 << 20),
    "HOME": "/home",
    "EMPTY": "",
    "SPACED": "a  b",
    "FILE": "src/lib/main.test.py",
    "한": "글",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text", "plain text"),
        ("$HOME/${HOME}", "/home//home"),
        ("$UNSET.", "."),
        ("$.", "$."),
        ("a$", "a$"),
        ("$1x $@ $? $$ $10y", "x    y"),
        ("${1:-one} ${@-all}", "one all"),
        ("\\$HOME", "$HOME"),
        ("\\\\$HOME", "\\/home"),
        ("a\\tb \\", "atb "),
        ("'$HOME \\'", "$HOME \\"),
        ('"$HOME \\" \\$ \\\\ \\t \'x\'"', "/home \" $ \\ \\t 'x'"),
        ("a'b'\"c\"", "abc"),
        ("$한", "글"),
        ("$HOMEx", ""),
        ("<<EOF < <<  x", "<<EOF < <<  x"),
    ],
)
def test_words_lose_quotes_and_escapes_and_get_values(text: str, expected: str) -> None:
    assert expected == expand_word(text, ENV)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${HOME:-x} ${EMPTY:-x} ${UNSET:-x}", "/home x x"),
        ("${HOME-x} ${EMPTY-x} ${UNSET-x}", "/home  x"),
        ("${HOME:+x} ${EMPTY:+x} ${UNSET:+x}", "x  "),
        ("${HOME+x} ${EMPTY+x} ${UNSET+x}", "x x "),
        ("${HOME:?x} ${HOME?x} ${EMPTY?x}", "/home /home "),
        ("${UNSET:-${ALSO:-$HOME}}}", "/home}"),
        ("${UNSET:-'}'\"}\"\\}}", "}}}"),
        ("${UNSET:-}", ""),
    ],
)
def test_defaults_alternatives_and_demands(text: str, expected: str) -> None:
    assert expected == expand_word(text, ENV)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${FILE#*/}", "lib/main.test.py"),
        ("${FILE##*/}", "main.test.py"),
        ("${FILE%.*}", "src/lib/main.test"),
        ("${FILE%%.*}", "src/lib/main"),
        ("${FILE#???}", "/lib/main.test.py"),
        ("${FILE#nothing}", "src/lib/main.test.py"),
        ("${FILE#*nothing}", "src/lib/main.test.py"),
        ("${FILE##*z?z}", "src/lib/main.test.py"),
        ("${FILE%%z?z*}", "src/lib/main.test.py"),
        ("${FILE##*/?}", "ain.test.py"),
        ("${FILE%nothing}", "src/lib/main.test.py"),
        ("${FILE#*}", "src/lib/main.test.py"),
        ("${FILE##*}", ""),
        ("${FILE%%?est*}", "src/lib/main."),
        ("${FILE/i/I}", "src/lIb/main.test.py"),
        ("${FILE//i/I}", "src/lIb/maIn.test.py"),
        ("${FILE//\\//-}", "src-lib-main.test.py"),
        ("${FILE/l?b/x}", "src/x/main.test.py"),
        ("${FILE//s*t/x}", "xex.py"),
        ("${FILE/.py/}", "src/lib/main.test"),
        ("${FILE/*/x}", "xsrc/lib/main.test.py"),
        ("${UNSET#x}${UNSET/x/y}", ""),
        ("${EMPTY//*/x}", "x"),
    ],
)
def test_patterns_trim_and_replace(text: str, expected: str) -> None:
    assert expected == expand_word(text, ENV)


@pytest.mark.parametrize(
    ("value", "pattern", "expected"),
    [
        ("a*b", "#a\\*", "b"),
        ("a?b", "%\\?b", "a"),
        ("a\\b", "#a\\\\", "b"),
        ("a}b", "#a\\}", "b"),
        ("xaxbx", "##*x", ""),
        ("xaxbx", "%%x*", ""),
        ("xaxbx", "%x*", "xaxb"),
        ("abcabc", "##*b?", ""),
        ("aXbXc", "%%X?X*", "a"),
        ("aXbXc", "%%X*c", "a"),
    ],
)
def test_escapes_and_greed_of_patterns(value: str, pattern: str, expected: str) -> None:
    assert expected == expand_word(f"${{v{pattern}}}", {"v": value})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("'open", "single-quote"),
        ('"open', "double-quote"),
        ("${", "missing '}'"),
        ("${a", "missing '}'"),
        ("${a:", "missing '}'"),
        ("${a:-b", "missing '}'"),
        ("${a/b}", "missing '/'"),
        ("$BIG$BIG", "come to more than"),
        ("${BIG//?/$BIG}", "more than"),
        ("${BIG/B/${BIG}}${BIG/B/x}", "come to more than"),
        ("${}", "bad substitution"),
        ("${:-b}", "bad substitution"),
        ("${a:=b}", "unsupported modifier (:=)"),
        ("${a=b}", "unsupported modifier (=)"),
        ("${a:#b}", "unsupported modifier (:#)"),
        ("${.}", "unsupported modifier (.)"),
        ("${UNSET?}", "UNSET: is not allowed to be unset"),
        ("${EMPTY:?}", "EMPTY: is not allowed to be empty"),
        ("${UNSET:?set it, $HOME}", "UNSET: set it, /home"),
        ("${HOME#\\x}", "invalid escape"),
        ("${a:-" * 65 + "}" * 65, "inside one another"),
    ],
)
def test_what_cannot_be_expanded_is_refused_with_its_reason(text: str, message: str) -> None:
    where = SourceRange("Dockerfile", 7, 7)
    with pytest.raises(DockerfileError) as caught:
        expand_word(text, ENV, where=where)

    assert message in caught.value.message
    assert where == caught.value.where


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a  b", ["a", "b"]),
        ("x${SPACED}y", ["xa", "by"]),
        ('x"${SPACED}"y', ["xa  by"]),
        ("a\\ b 'c d'", ["a b", "c d"]),
        ("$EMPTY '' \"\"", []),
        ("80${UNSET:-81} $HOME", ["8081", "/home"]),
        ("a\xa0b\x0bc", ["a", "b", "c"]),
    ],
)
def test_words_are_split_after_expansion_but_not_inside_quotes(text: str, expected: list[str]) -> None:
    assert expected == expand_words(text, ENV)


def test_the_backtick_escapes_where_it_is_the_escape() -> None:
    assert "$HOME \\/home" == expand_word("`$HOME \\$HOME", ENV, "`")


def test_quotes_are_text_where_they_do_not_count() -> None:
    assert "\"/home\" '/home' t" == expand_word("\"$HOME\" '$HOME' \\t", ENV, quotes=False)


def test_names_that_are_not_set_are_reported_even_with_a_default() -> None:
    unset: list[str] = []
    expand_word("$B ${A:-x} $HOME $B", ENV, unset=unset.append)

    assert ["A", "B"] == unset


def test_unset_names_and_quotes_can_be_left_as_they_are() -> None:
    text = "$UNSET ${UNSET} ${UNSET:-x} ${UNSET/a/b} \"'$HOME'\" \\a"
    lexed = lex(text, ENV, keep_quotes=True, keep_escapes=True, keep_unset=True)

    assert "$UNSET ${UNSET} ${UNSET:-x} ${UNSET/a/b} \"'/home'\" \\a" == lexed.text
    assert {"HOME"} == lexed.used
