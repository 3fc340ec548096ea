"""The documentation's navigation, links, pictures and API pages, checked without mkdocs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *(DOCS / page for page in PAGES)]


def navigation() -> list[str]:
    """The files that mkdocs.yml's nav names, in order; its other lines are headings."""
    lines = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:\n")[1].splitlines()
    return [
        line.rpartition(": ")[2] for line in lines if line.strip().startswith("- ") and not line.rstrip().endswith(":")
    ]


def anchors(file: Path) -> set[str]:
    """The anchors of a page's headings, as mkdocs and GitHub make them from simple titles."""
    text = re.sub(r"```.*?```", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", title.replace("`", "")).strip().lower()) for title in titles}


def links(file: Path) -> list[str]:
    """Targets of links and pictures outside code, those of other sites left out."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]


def test_every_page_is_in_the_navigation_once_and_exists():
    assert len(PAGES) > 15
    assert sorted(navigation()) == PAGES


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(file):
    for target in links(file):
        path, _, anchor = target.partition("#")
        found = (file.parent / path).resolve() if path else file
        assert found.is_file(), target
        if DOCS in file.parents:
            assert DOCS in found.parents, f"{target}: the built pages have no such file"
        if anchor:
            assert anchor in anchors(found), target


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("api/")])
def test_api_pages_name_modules(page):
    modules = re.findall(r"^::: (\S+)$", (DOCS / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert modules
    for module in modules:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), module


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.startswith("studies/") and not page.endswith("index.md")]
)
def test_a_study_has_its_date_and_command(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    assert re.search(r"^\d{4}-\d\d-\d\d", text, flags=re.MULTILINE) and "```sh\npython -m experiments." in text


def test_pictures_are_small_and_used():
    used = {(file.parent / target).resolve() for file in DOCUMENTS for target in links(file)}
    for path in (DOCS / "pictures").iterdir():
        assert path.stat().st_size < 150_000 and path.resolve() in used, path.name


@pytest.mark.parametrize("name", ["WORKSPACE.md", "CONTRIBUTING.md", "STYLE.md", "CHANGELOG.md", "CITATION.cff"])
def test_a_reader_finds_the_other_documents(name):
    assert (ROOT / name).is_file()
    texts = [(ROOT / "README.md"), ROOT / "WORKSPACE.md"]
    assert any(name in text.read_text(encoding="utf-8") for text in texts if text.name != name)


def test_the_map_is_one_page():
    assert len((ROOT / "WORKSPACE.md").read_text(encoding="utf-8").splitlines()) <= 60
