"""One server for each module of tests, and a client with the root key."""

from collections.abc import Iterator

import httpx
import pytest

from tests.api.calling import caller
from tests.web.serving import Served, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with the tenants `default` and `operations`, both empty at first."""
    with serving(tmp_path_factory.mktemp("doors") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def root(served: Served) -> Iterator[httpx.Client]:
    """Who may do everything."""
    with caller(served) as client:
        yield client


@pytest.fixture
def tenant(served: Served, request: pytest.FixtureRequest) -> str:
    """A new tenant with an empty log, for this test alone."""
    return served.tenant(f"t{abs(hash(request.node.nodeid)) % 10**12}")
