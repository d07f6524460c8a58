"""The text of findings."""

from sod.datasets.findings import Findings


def test_many_findings_are_counted_and_a_few_shown():
    findings = Findings()
    for i in range(10):
        findings.error("missing image", f"{i}.jpg")
    assert findings.lines() == ["error: missing image, 10 times: 0.jpg; 1.jpg; 2.jpg (and 7 more)"]
