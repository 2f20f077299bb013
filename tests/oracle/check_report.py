"""check_report.py NAME.json NAME.xml NAME.html NAME.md - the reports of one `recast verify`.

Read by Python's own parsers: they must be well formed, and say the same verdict and figures.
"""

import html.parser
import json
import sys
import xml.etree.ElementTree

VOID = {"meta", "br"}


class Page(html.parser.HTMLParser):
    """Tags that close in order, ids that are unique, nothing from elsewhere, no script."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.text, self.faults = [], set(), [], []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "script" or any(k in given for k in ("src", "href", "onload", "onclick")):
            self.faults.append(f"{tag} {given}")
        if given.get("id") in self.ids:
            self.faults.append(f"id {given['id']} twice")
        self.ids.add(given.get("id") or object())
        for name in (given.get("aria-labelledby") or "").split():
            self.faults += [] if name else ["empty label"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes something else")

    def handle_data(self, data):
        self.text.append(data)


def main(json_file, xml_file, html_file, md_file):
    with open(json_file, encoding="utf-8") as f:
        report = json.load(f)
    suite = xml.etree.ElementTree.parse(xml_file).getroot()
    cases = suite.findall("testcase")
    failed = [c for c in cases if c.find("failure") is not None]
    assert int(suite.get("tests")) == len(cases) and int(suite.get("failures")) == len(failed)
    assert report["passes"] == (not failed), "JUnit and JSON disagree"
    for gate in report["gates"]:
        (case,) = [c for c in cases if (c.get("classname"), c.get("name")) == ("gates", gate["gate"])]
        assert (case.find("failure") is None) == gate["passes"], gate

    page = Page()
    with open(html_file, encoding="utf-8") as f:
        page.feed(f.read())
    page.close()
    assert not page.faults and not page.open, (page.faults, page.open)
    text = " ".join(page.text)
    assert report["verdict"].capitalize() in text and report["message"] in text
    with open(md_file, encoding="utf-8") as f:
        assert f.readline() == f"## Verified with recast: {report['verdict']}\n"
    if report["behaviour"]:
        worst = report["behaviour"]["worst"]
        assert all(a["kl"] >= b["kl"] for a, b in zip(worst, worst[1:]))
        counted = sum(report["behaviour"]["histogram"]["counts"]) + report["behaviour"]["kl"]["zero"]
        assert counted + report["behaviour"]["broken"] == report["behaviour"]["positions"]
    print(f"ok: {report['verdict']}, {len(cases)} cases, {len(text)} characters of page")


if __name__ == "__main__":
    main(*sys.argv[1:])
