"""Watching an artifact's promises while it routes: ``Monitor``, and what it reads and reports."""

from __future__ import annotations

from learned_router.monitoring.monitor import DriftReport, Monitor, Report, SliceReport
from learned_router.monitoring.promises import (
    Promise,
    Promises,
    Traffic,
    describe_traffic,
    parse_promises,
    promises_of,
    read_promises,
)

__all__ = [
    "DriftReport",
    "Monitor",
    "Promise",
    "Promises",
    "Report",
    "SliceReport",
    "Traffic",
    "describe_traffic",
    "parse_promises",
    "promises_of",
    "read_promises",
]
