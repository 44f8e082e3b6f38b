"""The benchmark of the importers of traces runs; no figure is judged here."""

from __future__ import annotations

import pytest
import trace_speed

pytestmark = pytest.mark.benchmark


@pytest.mark.parametrize(("name", "importer"), trace_speed.LOGS, ids=[name for name, _ in trace_speed.LOGS])
def test_the_speed_of_each_importer_is_measured(name: str, importer: trace_speed.Importer) -> None:
    found = trace_speed.measure(name, importer, 0.05)
    assert found["items_per_s"] > 0
    assert found["megabytes_per_s"] > 0
