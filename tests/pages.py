"""Pages of a report as tests read them: names for their classes, and the structure of the HTML."""

from __future__ import annotations

from html.parser import HTMLParser

NAMES = ["wolf", "husky", "goose", "red fox", "cat", "duck", "polar bear", "horse"]
HOSTILE = [
    "</td></tr></table><script>alert(1)</script>",
    '"><img src=file:///etc/hostname onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "\u202eevil\u2066\u200f name\x00\x07",
    "../../etc/passwd\\..\\x",
    "狼 \U0001f43a العربية ̴z̵a̶l̷g̸o",
    "x" * 300,
    "url(javascript:alert(1)); --> ]]> <style>*{display:none}</style>",
]
VOID = {"meta", "img", "br", "link", "hr", "input"}


class Structure(HTMLParser):
    """Tags in their order, text, and attributes, with a check that every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, key, value) for key, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.tags.append("/" + tag)

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def parse(page: str) -> Structure:
    parsed = Structure()
    parsed.feed(page)
    parsed.close()
    assert parsed.open == []
    return parsed
