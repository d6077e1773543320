"""Machines by the names that they give themselves."""


def is_host(named: str, here: str) -> bool:
    """Whether a machine that calls itself `here` is the one that is named: capitals do not count, and a name without a
    dot stands for itself in any domain. Pure."""
    wanted, found = named.lower(), here.lower()
    return wanted == found or ("." not in wanted and wanted == found.partition(".")[0])
