"""Chinese and English: by the browser's language, by the button, and completely."""

import re
from typing import Any

import pytest

from tests.e2e.page.browser import DETECT, DemoPage, OpenPage
from tests.e2e.page.expected import FLOOR

# Latin words that a Chinese page has too: names, file formats, and labels of the model's classes.
NAMES = r"triton-sod|Triton|PP-YOLOE_plus_SOD-\w+|API|English|JSON|CSV|COCO|YOLO|curl|px|https?|ms|\w+\.jpg|\w+\.txt"
FORMATS = "JPEG|PNG|WebP|BMP|TIFF"
LICENCES = r"CC BY(?:-SA)?"


def latin_words(page: DemoPage) -> list[str]:
    """Words of Latin letters in the page's texts, tool tips and accessible names, without labels and authors' names."""
    texts: list[str] = page.tab.evaluate(
        """() => {
            const found = [];
            const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            while (walker.nextNode()) {
                const node = walker.currentNode;
                if (!node.parentElement.closest("#rows, #class-list, #credit")) found.push(node.textContent);
            }
            for (const it of document.querySelectorAll("[title], [aria-label], [placeholder]")) {
                if (it.closest("#rows, #class-list, #language")) continue;
                for (const name of ["title", "aria-label", "placeholder"]) found.push(it.getAttribute(name) ?? "");
            }
            return found;
        }"""
    )
    return [
        word
        for text in texts
        for word in re.findall("[A-Za-z]{2,}", re.sub(f"\\b({NAMES}|{FORMATS}|{LICENCES})\\b", "", text))
    ]


def test_both_languages_have_the_same_texts(page: DemoPage) -> None:
    shape = """async (name) => {
        const texts = Object.values(await import(`/static/text/${name}.js`))[0];
        const keys = (it) => Object.fromEntries(Object.entries(it).map(([key, value]) =>
            [key, typeof value === "object" ? keys(value) : typeof value]));
        return keys(texts);
    }"""
    english, chinese = (page.tab.evaluate(shape, name) for name in ("en", "zh"))
    assert english == chinese
    named = page.tab.evaluate(
        """[...document.querySelectorAll("*")].flatMap((it) =>
            ["text", "label", "title", "placeholder"].map((name) => it.dataset[name]).filter(Boolean))"""
    )
    assert len(named) > 40
    assert set(named) <= set(english)


@pytest.mark.parametrize(
    ("locale", "lang", "status"),
    [
        ("zh-CN", "zh-CN", "尚未选择图像。"),
        ("zh-TW", "zh-CN", "尚未选择图像。"),
        ("en-GB", "en", "No image yet."),
        ("de-DE", "en", "No image yet."),
    ],
)
def test_the_browsers_language_is_taken(open_page: OpenPage, locale: str, lang: str, status: str) -> None:
    page = open_page(locale=locale)
    assert page["html"].get_attribute("lang") == lang
    assert page["#status"].inner_text() == status


def test_a_chinese_page_is_chinese_throughout(open_page: OpenPage, image: bytes, found: Any) -> None:
    page = open_page(locale="zh-CN")
    assert page.tab.title() == "triton-sod · 小目标检测"
    assert latin_words(page) == []
    page.choose({"a.jpg": image, "b.jpg": image, "notes.txt": b"no image"})
    page.wait_for_response()
    page.wait_for_all()
    page.set_score(0.2)
    assert latin_words(page) == []
    problem = "notes.txt：无法识别为图像，请使用 JPEG、PNG、WebP、BMP 或 TIFF 格式。"  # noqa: RUF001 - Chinese punctuation
    assert page["#problem-text"].inner_text() == problem
    assert f"共检测到 {len(found)} 个置信度高于 {FLOOR} 的目标" in page["#status"].inner_text()

    page.tab.route(DETECT, lambda route: route.abort("connectionrefused"), times=1)
    page.choose({"c.jpg": image})
    page["#problem-text:has-text('无法连接服务器')"].wait_for()
    # What the server says in words that the page does not know is quoted.
    envelope = {"logId": "1", "errorCode": 503, "errorMsg": "Too much at once"}
    page.tab.route(
        DETECT, lambda route: route.fulfill(status=503, json=envelope, headers={"Retry-After": "2"}), times=1
    )
    page["#retry"].click()
    page["#problem-text:has-text('Too much at once')"].wait_for()
    problem = "服务暂不可用（Too much at once）。请等待 2 秒后重试。"  # noqa: RUF001 - Chinese punctuation
    assert page["#problem-text"].inner_text() == problem


def test_the_button_switches_the_language_of_everything_and_is_remembered(page: DemoPage, image: bytes) -> None:
    page.give(image, "a.jpg")
    page.drop(b"no image", "notes.txt", "text/plain")
    page["#problem"].wait_for()
    english = page["body"].inner_text()
    page["#language"].click()
    assert latin_words(page) == []
    assert page["html"].get_attribute("lang") == "zh-CN"
    page["#language"].click()
    assert page["body"].inner_text() == english

    page["#language"].click()
    page.tab.reload()
    page["#model:enabled"].wait_for()
    assert page["#choose"].inner_text() == "选择文件"
    page.open("/docs")
    assert page[".back"].inner_text() == "← 用图像试一试"
