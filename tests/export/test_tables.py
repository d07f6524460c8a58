from export.tables import Table

TABLE = Table(["step", "seconds"], [["one", "1.0"], ["a longer one", "12.5"]])


def test_text_has_aligned_columns() -> None:
    assert TABLE.text().splitlines() == [
        "step            seconds",
        "  one               1.0",
        "  a longer one     12.5",
    ]


def test_markdown() -> None:
    assert TABLE.markdown().splitlines() == [
        "| step | seconds |",
        "| --- | --- |",
        "| one | 1.0 |",
        "| a longer one | 12.5 |",
    ]
