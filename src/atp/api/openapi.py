"""What the API is, for programs: the OpenAPI document."""

from starlette.routing import Route


def routes() -> list[Route]:
    """The doors of this noun."""
    return []
