"""Go's templates; what is expected is what Docker's command line printed."""

from __future__ import annotations

from typing import Any

import pytest

from builder.cli import gostructs
from builder.cli.template import Template, TemplateError
from builder.cli.template_functions import NoList, NoMap, Row, to_json

VALUE: dict[str, Any] = {
    "Id": "sha256:abc",
    "Size": 1234,
    "Ratio": 0.5,
    "Empty": "",
    "Nothing": None,
    "Yes": True,
    "Config": {"Env": ["A=b", "C=d"], "Labels": {"z": "1", "a": "<2>"}, "Cmd": NoList(), "Volumes": NoMap()},
    "Layers": [{"Name": "one"}, {"Name": "two"}],
}
CASES = [
    ("plain", "plain"),
    ("{{.Id}} {{ .Size }}", "sha256:abc 1234"),
    ("{{.Config.Env}}", "[A=b C=d]"),
    ("{{.Config.Labels}}", "map[a:<2> z:1]"),
    ("{{.Config.Cmd}} {{json .Config.Cmd}} {{len .Config.Cmd}}", "[] null 0"),
    ("{{.Config.Volumes}} {{json .Config.Volumes}}", "map[] null"),
    ("{{json .Config}}", '{"Env":["A=b","C=d"],"Labels":{"z":"1","a":"<2>"},"Cmd":null,"Volumes":null}'),
    ("{{json .Yes}}{{json .Nothing}}{{json .Id}}", 'truenull"sha256:abc"'),
    ("{{.Nothing}}|{{.Yes}}|{{.Ratio}}", "<no value>|true|0.5"),
    ('{{index .Config.Env 1}} {{index .Config.Labels "a"}} {{(index .Layers 1).Name}}', "C=d <2> two"),
    ('{{index .Config.Labels "nope"}}', "<no value>"),
    ("{{len .Config.Env}}{{len .Id}}", "210"),
    ('{{join .Config.Env ", "}}', "A=b, C=d"),
    ('{{index (split .Id ":") 1}}', "abc"),
    ("{{lower .Id}} {{upper .Id}} {{title .Id}}", "sha256:abc SHA256:ABC Sha256:Abc"),
    ('{{.Id | upper | printf "%s!"}}', "SHA256:ABC!"),
    ("{{pad .Id 1 2}}|{{truncate .Id 6}}", " sha256:abc  |sha256"),
    ("{{slice .Id 7}}{{slice .Id 0 3}}", "abcsha"),
    ("{{if .Yes}}y{{else}}n{{end}}{{if .Empty}}y{{else}}n{{end}}", "yn"),
    ("{{if eq .Size 1}}1{{else if eq .Size 1234}}2{{else}}3{{end}}", "2"),
    ("{{with .Config}}{{.Env}}{{end}}{{with .Empty}}x{{else}}none{{end}}", "[A=b C=d]none"),
    ("{{range .Layers}}{{.Name}};{{end}}", "one;two;"),
    ("{{range $i, $e := .Config.Env}}{{$i}}={{$e}} {{end}}", "0=A=b 1=C=d "),
    ("{{range $k, $v := .Config.Labels}}{{$k}}:{{$v}} {{end}}", "a:<2> z:1 "),
    ("{{range .Config.Cmd}}x{{else}}none{{end}}{{range .Nothing}}x{{end}}", "none"),
    ('{{range .Layers}}{{if eq .Name "two"}}{{break}}{{end}}{{.Name}}{{end}}', "one"),
    ('{{range .Layers}}{{if eq .Name "one"}}{{continue}}{{end}}{{.Name}}{{end}}', "two"),
    ("{{range .Layers}}{{$.Id}} {{end}}", "sha256:abc sha256:abc "),
    ("{{$x := .Size}}{{$x}}{{$x = 2}}{{$x}}", "12342"),
    ("{{$n := 0}}{{range .Layers}}{{$n = 1}}{{end}}{{$n}}", "1"),
    ("a  {{- .Size -}}  b", "a1234b"),
    ("a {{/* nothing */}}b{{- /* here */ -}} c", "a bc"),
    ("{{and .Yes .Id}} {{or .Empty .Id}} {{not .Empty}}", "sha256:abc sha256:abc true"),
    ("{{and .Empty .Nope.Nope}}", ""),
    ('{{eq .Id "x" "sha256:abc"}} {{ne .Id "x"}} {{lt 1 2}}', "true true true"),
    ("{{ge 2 2}} {{gt 1 2}} {{le 3 2}}", "true false false"),
    ('{{printf "%5s|%-5s|%05d|%x|%q" "a" "b" 42 255 "q"}}', '    a|b    |00042|ff|"q"'),
    ('{{printf "%v|%t|%.2f|%%" .Config.Env true 1.5}}', "[A=b C=d]|true|1.50|%"),
    ('{{printf "%d" "x"}}{{printf "%s"}}', "%!d(string=x)%!s(MISSING)"),
    ('{{print 1 2 "x" 3}}{{println .Id}}', "1 2x3sha256:abc\n"),
    ('{{html "<&>"}}{{urlquery "a b&"}}', "&lt;&amp;&gt;a+b%26"),
    ('{{`raw {{`}}{{"}}"}}', "raw {{}}"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_a_template_gives_what_gos_gives(text: str, expected: str) -> None:
    assert expected == Template.parse(text).render(VALUE)


@pytest.mark.parametrize(
    "text",
    [
        "{{",
        "{{}}",
        "{{.Id",
        "{{if .Id}}",
        "{{end}}",
        "{{else}}",
        "{{range .X}}{{else}}{{else}}{{end}}",
        "{{nope .Id}}",
        "{{(.Id}}",
        "{{.Id)}}",
        "{{.Id | }}",
        '{{"unclosed}}',
        '{{define "x"}}{{end}}',
        "{{break}}",
        "{{.Id ! 3}}",
        "{{09x}}",
        "{{" + "(" * 200 + ".Id" + ")" * 200 + "}}",
        "{{if .Id}}" * 200 + "{{end}}" * 200,
    ],
)  # fmt: skip
def test_a_template_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(TemplateError):
        Template.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "{{.Nope}}",
        "{{.Id.Nope}}",
        "{{$x}}",
        "{{$x = 1}}",
        "{{index .Layers 5}}",
        "{{index .Layers -1}}",
        "{{index .Nothing 1}}",
        '{{index .Layers "a"}}',
        "{{len 3}}",
        "{{join .Size 1}}",
        "{{slice .Id 9 99}}",
        "{{split .Id}}",
        "{{range .Id}}{{end}}",
        "{{.Id .Size}}",
        '{{lt 1 "a"}}',
        "{{eq 1}}",
        "{{and}}",
        "{{upper 3}}",
        '{{printf "%99999999d" 1}}',
        "{{range 9999999999999999999999}}{{end}}",
        "{{range 1000}}{{range 1000}}{{end}}{{end}}",
    ],
)
def test_a_template_that_does_not_fit_the_value_is_an_error(text: str) -> None:
    with pytest.raises(TemplateError):
        Template.parse(text).render(VALUE)


CONFIG = {
    "User": "1:2",
    "Env": ["A=1", "B=2"],
    "Cmd": ["sh"],
    "Labels": {"c": "d e", "a": "<b>"},
    "Volumes": {"/d": {}},
}
CHECK = {"Test": ["CMD", "true"], "Interval": 90_000_000_000, "Retries": 3}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "{{.Config}}",
            (
                "{  1:2 false false false map[] false false false [A=1 B=2] [sh] {[CMD true] 1m30s 0s 0s 3} false  "
                "map[/d:{}]  [] false  [] map[a:<b> c:d e]  <nil> []}"
            ),
        ),
        ("{{.Config.Healthcheck}} {{.Config.Healthcheck.Interval}}", "{[CMD true] 1m30s 0s 0s 3} 1m30s"),
        ("{{json .Config.Healthcheck}}", '{"Test":["CMD","true"],"Interval":90000000000,"Retries":3}'),
        ("{{.Config.StopTimeout}} {{json .Config.StopTimeout}}", "<nil> null"),
        ("{{if .Config.StopTimeout}}set{{else}}not{{end}}", "not"),
        ("{{.Config.Extra}}", "kept"),
        (
            "{{.RootFS}} {{json .RootFS}}",
            '{layers [sha256:1 sha256:2] } {"Type":"layers","Layers":["sha256:1","sha256:2"]}',
        ),
        ("{{.Metadata}} {{json .Metadata}}", '{0001-01-01 00:00:00 +0000 UTC} {"LastTagTime":"0001-01-01T00:00:00Z"}'),
        ('{{printf "%v" .RootFS}}', "{layers [sha256:1 sha256:2] }"),
        ("{{.Variant}}|{{.OsVersion}}", "|"),
    ],
)
def test_a_structure_is_printed_as_go_prints_docker_s(text: str, expected: str) -> None:
    """Seen of Docker 20.10, but for where pointers lead to, which it prints as an address."""
    document = {
        "Config": {**CONFIG, "Healthcheck": CHECK, "Extra": "kept"},
        "RootFS": {"Type": "layers", "Layers": ["sha256:1", "sha256:2"]},
        "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
    }

    assert expected == Template.parse(text).render(gostructs.image(document))


def test_the_state_of_a_container_is_a_structure() -> None:
    state = {
        "Status": "exited",
        "Running": False,
        "Pid": 0,
        "ExitCode": 3,
        "Error": "",
        "StartedAt": "a",
        "FinishedAt": "b",
    }

    found = gostructs.container({"State": state, "Config": CONFIG, "Name": "/x"})

    assert "{exited false false false false false 0 3  a b <nil>}" == Template.parse("{{.State}}").render(found)
    assert "/x 1:2" == Template.parse("{{.Name}} {{.Config.User}}").render(found)


def test_a_row_as_json_has_sorted_keys_and_no_angle_brackets() -> None:
    """The reason: Docker marshals rows and values in two different ways."""
    assert '{"A":"\\u003cnone\\u003e","B":"x"}' == to_json(Row({"B": "x", "A": "<none>"}))
    assert '{"B":"x","A":"<none>"}' == to_json({"B": "x", "A": "<none>"})
