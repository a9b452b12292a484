"""The data flows one way; so do the imports."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "bot"

#: From the first to import to the last. A module may import only from earlier lines.
ORDER = """
    types errors settings memory scratch
    documents.content documents.canonical documents.builder documents.frontmatter documents.furniture documents.html
    documents.markdown documents.plain documents.zipped documents.sheets documents.office documents.pieces
    documents.lines documents.margins documents.layout documents.paragraphs documents.pdf documents.epub documents.mail
    documents.sniff documents.formats documents.sandbox documents
    folding passages store vectors model encoder export
    lexical language vocabulary countries lists readings snapshot publish question query conversation marking search
    confidence calibrate explain answer engine evaluate report widget widget.words widget.assets doctor
    widget.pages api api.schemas api.observe api.limits api.cache api.routes api.pages api.reindex api.app api.patience
    api.server api.workers
    cli __main__
""".split()


def modules() -> set[str]:
    names = set()
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names.add(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names - {""}


def imports_of(module: str) -> set[str]:
    path = PACKAGE / module.replace(".", "/")
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    found = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module == "bot":
                found |= {alias.name for alias in node.names if alias.name in ORDER}
            elif node.module and node.module.startswith("bot."):
                found.add(node.module.removeprefix("bot."))
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("bot.") for alias in node.names if alias.name.startswith("bot.")}
    return found


def test_every_module_has_its_place() -> None:
    assert modules() == set(ORDER)


@pytest.mark.parametrize("module", ORDER)
def test_a_module_imports_only_from_earlier_stages(module: str) -> None:
    assert imports_of(module) <= set(ORDER[: ORDER.index(module)])
