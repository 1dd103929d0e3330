"""Outline of an HTML page by a strict parser, for tests of pages."""

from html.parser import HTMLParser

VOID = {"meta", "path", "wbr", "br"}
NO_BLOCKS = {"p", "h1", "h2", "h3", "h4", "figcaption", "dt", "code"}
BLOCKS = {"p", "h1", "h2", "h3", "h4", "div", "table", "section", "figure", "dl", "ol", "ul", "pre"}


class Outline(HTMLParser):
    """Collects tags and text; everything has to be closed in order, and no block stands in a line."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        assert len({name for name, _ in attributes}) == len(attributes), tag
        assert not (tag in BLOCKS and NO_BLOCKS & set(self.open)), (tag, self.open)
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self):
        return " ".join("".join(self.text).split())
