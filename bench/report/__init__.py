"""The report: a record for the terminal, as a page, and beside another record."""

from bench.report.compare import compare_records
from bench.report.page import page
from bench.report.report import html_page
from bench.report.terminal import print_sheet

__all__ = ["compare_records", "html_page", "page", "print_sheet"]
