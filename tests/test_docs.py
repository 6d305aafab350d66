"""The documents are current: generated parts, links, commands, sources, the words that must be in them."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sim.protocols.broker_presets import PRESETS
from sim.record.causes import CAUSES
from sim.scenario.models import keys_of
from sim.scenario.shape import ScenarioFile
from sim.strategies.catalog import STRATEGIES

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]


def _tool() -> Any:
    spec = importlib.util.spec_from_file_location("docs_tool", ROOT / "tools" / "docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["docs_tool"] = module
    spec.loader.exec_module(module)
    return module


TOOL = _tool()


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# --- generated parts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["docs/model.md", "docs/results.md", "ARCHITECTURE.md"])
def test_the_generated_parts_are_current(name: str) -> None:
    text = _text(name)
    assert TOOL.filled(text) == text, f"{name} is not current: python tools/docs.py"


def test_the_tool_says_so_by_its_exit_code() -> None:
    done = subprocess.run([sys.executable, "tools/docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_every_generated_part_has_a_place() -> None:
    text = _text("docs/model.md") + _text("docs/results.md") + _text("ARCHITECTURE.md")
    assert {name for name in TOOL.PARTS if f"<!-- generated: {name} -->" in text} == set(TOOL.PARTS)


def test_every_settings_class_of_the_scenario_file_is_on_the_model_page() -> None:
    text = _text("docs/model.md")
    for at, cls in TOOL.sections(ScenarioFile):
        if at:
            assert f"#### `{at}`" in text, cls
    for name, (cls, _line, _baseline) in STRATEGIES.items():
        assert f"#### `{name}`" in text
        for key in keys_of(cls):
            assert f"| `{key}` |" in text


def test_every_preset_and_every_cause_is_on_the_model_page() -> None:
    text = _text("docs/model.md")
    for name, (behaviour, _line) in PRESETS.items():
        assert f"| `{name}` |" in text
        assert behaviour.version in text
    for cause in CAUSES:
        assert f"| `{cause}` |" in text


def test_every_simplification_in_the_code_is_found() -> None:
    marked = sum(path.read_text(encoding="utf-8").count("Simplification:") for path in (ROOT / "sim").rglob("*.py"))
    assert marked == len(TOOL.simplifications().splitlines()) - 2


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('"""A.\n\nSimplification: one.\nSimplification: another,\nover two lines.\n"""\n', ["One.", "Another, over two lines."]),
        ("x = 1  # says (Simplification: one timer; no more).\n", ["One timer; no more."]),
        ("#: First. Simplification: constants (2 bytes).\n#: Second line.\nx = 1\n", ["Constants (2 bytes). Second line."]),
        ('def f():\n    """Text."""\n    # Simplification: halves\n    return 1\n', ["Halves."]),
        ("x = 1\n", []),
    ],
)
def test_simplifications_are_read_from_docstrings_and_comments(source: str, found: list[str]) -> None:
    assert TOOL.simplifications_in(source) == found


@pytest.mark.parametrize(("title", "module", "enum"), TOOL.MACHINES)
def test_a_diagram_has_every_edge_of_its_table(title: str, module: str, enum: str) -> None:
    table = importlib.import_module(module).TRANSITIONS
    edges = sum(len(after) for after in table.values())
    assert title
    assert len(TOOL.diagram(module, enum).splitlines()) == edges + 2


# --- sources ------------------------------------------------------------------------------------------------------------


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | set(re.findall(r'<a id="([^"]+)"></a>', text))


def test_every_source_that_a_default_names_is_in_the_sources() -> None:
    anchors = _anchors(_text("docs/sources.md"))
    named = set(re.findall(r"\(sources\.md#([\w.\-]+)\)", _text("docs/model.md")))
    assert named
    assert named <= anchors


def test_every_section_that_code_and_tests_cite_is_in_the_sources() -> None:
    anchors = _anchors(_text("docs/sources.md"))
    cited = set()
    for path in [*(ROOT / "sim").rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *(ROOT / "scenarios").glob("*.yaml")]:
        text = path.read_text(encoding="utf-8")
        for name, number in re.findall(
            r"\b(Brokers|brokers|PQC-TLS|pqc-tls|Failure modes|failure-modes|Real world|real-world) ([TF]?\d+(?:\.\d)?)\b", text
        ):
            cited.add(f"{name.lower().replace(' ', '-')}-{number.lower()}")
    assert cited
    assert cited - anchors == set()


# --- links and commands -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        if anchor and path.suffix == ".md":
            assert anchor in _anchors(path.read_text(encoding="utf-8")), target


def _commands() -> list[Any]:
    import typer

    from sim.cli import app

    group: Any = typer.main.get_command(app)
    return list(group.commands.values())


def test_every_command_and_option_is_on_its_page() -> None:
    text = _text("docs/cli.md")
    for command in _commands():
        assert f"\n## {command.name}\n" in text
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--") and option != "--help":
                    assert f"{option}" in text, (command.name, option)


def test_commands_in_the_pages_parse() -> None:
    """Every `python -m sim ...` line names a command and options that exist."""
    known = {command.name: {option for p in command.params for option in [*p.opts, *p.secondary_opts]} for command in _commands()}
    for page in PAGES:
        for line in re.findall(r"python -m sim ([a-z]+[^\n`]*)", page.read_text(encoding="utf-8")):
            name, *rest = line.split()
            assert name in known, (page.name, line)
            for word in rest:
                word = word.strip("[].,)(")
                if re.fullmatch(r"--?[a-z][a-z-]*", word):
                    assert word in known[name] | {"--help", "--debug"}, (page.name, line)


def test_files_that_the_pages_name_exist() -> None:
    file = re.compile(r"\b((?:scenarios|docs/examples|notebooks|sim|tests)/[\w/]+\.(?:yaml|ipynb|py|json))")
    for page in PAGES:
        for name in file.findall(page.read_text(encoding="utf-8")):
            assert (ROOT / name).exists() or name == "scenarios/x.yaml", (page.name, name)


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    from sim.cli_codes import BAD_USAGE, DEFECT, INTERRUPTED, MISSED, OK

    for name in ("README.md", "docs/cli.md"):
        section = _text(name).split("## Exit codes")[1].split("\n## ")[0]
        codes = [int(code) for code in re.findall(r"^\| (\d+) \|", section, flags=re.MULTILINE)]
        assert codes == [OK, MISSED, BAD_USAGE, DEFECT, INTERRUPTED]


# --- what has to be said ------------------------------------------------------------------------------------------------


def test_the_readme_begins_with_the_question_and_the_two_commands() -> None:
    text = _text("README.md")
    order = ["What happens to the firmware chunks", "make run", "make test", "docs/images", "seed_code", "--vary", "recorded:"]
    assert sorted(order, key=text.index) == order
    assert "hbmqtt" in text
    assert "amqtt" in text
    assert "Apache-2.0" in text


def test_quoted_results_are_not_empty() -> None:
    for name, part in (("README.md", "headline"), ("docs/own_strategy.md", "eager")):
        match = re.search(rf"<!-- generated: {part} -->(.*?)<!-- end of {part} -->", _text(name), flags=re.DOTALL)
        assert match is not None
        assert len(match[1].strip().splitlines()) > 5, "python tools/docs.py --numbers"


def test_the_code_shown_in_the_strategy_page_is_that_of_the_examples() -> None:
    """Every statement of the long listings stands in the example file too (signatures are shortened there)."""
    source = (ROOT / "docs" / "examples" / "eager_mqtt.py").read_text(encoding="utf-8")
    shown = re.findall(r"```python\n(.*?)```", _text("docs/own_strategy.md"), flags=re.DOTALL)
    lines = [line.strip() for block in shown[:2] for line in block.splitlines() if line.strip()]
    assert lines
    for line in lines:
        if not line.startswith("def "):
            assert line in source, line


def test_the_licence_is_the_whole_text() -> None:
    text = _text("LICENSE")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_the_changelog_has_a_place_for_changes_that_move_numbers() -> None:
    assert "### Changes that move numbers" in _text("CHANGELOG.md")


def test_the_architecture_is_three_pages() -> None:
    prose = re.sub(r"```mermaid.*?```", "", _text("ARCHITECTURE.md"), flags=re.DOTALL)
    assert len(prose.split()) < 1700
