"""What runs in ``make soak`` only is left out elsewhere, as tests that are not meant are no skipped ones."""

from __future__ import annotations

import pytest

from tests.battery.figures import long


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if item.get_closest_marker("long") and not long()]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
