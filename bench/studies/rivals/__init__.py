"""Rivals: next-item models of other libraries, trained on the same events and measured by the metrics of this one."""
