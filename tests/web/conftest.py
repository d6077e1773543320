"""One server for each module of tests."""

from collections.abc import Iterator

import pytest

from tests.web.serving import Served, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with the tenants `default` and `operations`, both empty at first."""
    with serving(tmp_path_factory.mktemp("pages") / "data") as running:
        yield running
