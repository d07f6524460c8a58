"""The Chinese pages: the same structure, commands and links as the English ones."""

import re

import pytest

from tests.project.repository import ROOT

COMPLETE = ["README.md", "clients/README.md"]
SHORTENED = ["clients/python/README.md"]


def translation(page: str) -> str:
    return page.replace(".md", ".zh-CN.md")


def read(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def code_blocks(text: str) -> list[str]:
    return re.findall(r"^```[\s\S]*?^```$", text, re.MULTILINE)


def without_code(text: str) -> str:
    return re.sub(r"^```[\s\S]*?^```$", "", text, flags=re.MULTILINE)


def heading_levels(text: str) -> list[int]:
    return [len(marks) for marks in re.findall(r"^(#+) ", without_code(text), re.MULTILINE)]


def links(text: str) -> set[str]:
    """What a page links to; a translated page counts as its original."""
    found = re.findall(r"\]\(([^)]+)\)", without_code(text))
    return {link.replace(".zh-CN.md", ".md") for link in found}


@pytest.mark.parametrize("page", COMPLETE)
def test_a_complete_translation_has_the_same_commands_and_structure(page: str) -> None:
    english, chinese = read(page), read(translation(page))
    assert len(code_blocks(english)) >= 3
    assert code_blocks(chinese) == code_blocks(english)
    assert heading_levels(chinese) == heading_levels(english)
    assert links(chinese) == links(english)
    rows = [len(re.findall(r"^\|", text, re.MULTILINE)) for text in (english, chinese)]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("page", SHORTENED)
def test_a_shortened_translation_has_commands_of_the_original(page: str) -> None:
    english, chinese = code_blocks(read(page)), code_blocks(read(translation(page)))
    assert chinese
    assert [block for block in english if block in chinese] == chinese


@pytest.mark.parametrize("page", [*COMPLETE, *SHORTENED])
def test_each_language_links_to_the_other(page: str) -> None:
    name = page.rsplit("/", 1)[-1]
    assert f"English | [简体中文]({translation(name)})" in read(page)
    assert f"[English]({name}) | 简体中文" in read(translation(page))


@pytest.mark.parametrize("page", [*COMPLETE, *SHORTENED])
def test_a_translation_is_in_chinese(page: str) -> None:
    prose = re.sub(r"`[^`]*`|\]\([^)]*\)", "", without_code(read(translation(page))))
    for paragraph in re.split(r"\n\s*\n", prose):
        if len(paragraph) > 120 and not paragraph.startswith("|"):
            assert len(re.findall("[一-鿿]", paragraph)) > len(paragraph) / 10, paragraph
