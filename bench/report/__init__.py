"""The report: a record for the terminal, as a page, and beside another record."""

from bench.report.compare import COLUMNS, compare_records, differences
from bench.report.page import cards, figure, page, paragraph, preformatted, section, table, tiles
from bench.report.report import bench_sections, html_page
from bench.report.tables import crossings, micro, notes, summary, terminal_table, terminal_tables

__all__ = [
    "COLUMNS",
    "bench_sections",
    "cards",
    "compare_records",
    "crossings",
    "differences",
    "figure",
    "html_page",
    "micro",
    "notes",
    "page",
    "paragraph",
    "preformatted",
    "section",
    "summary",
    "table",
    "terminal_table",
    "terminal_tables",
    "tiles",
]
