"""An address of a server is read as the server's own library reads it, and names one server."""

import pytest

from atp.errors import InvalidError
from atp.ops.backups.act.kinds.postgresql.connection import parse_connection


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "postgresql://u:p%40%2F%20x@h:6000/d%20b",
            {"HOST": "h", "PORT": "6000", "PASSWORD": "p@/ x", "DATABASE": "d b"},
        ),
        ("postgres://u:a+b%2B@h/d", {"PASSWORD": "a+b+"}),
        ("postgresql://h/d?password=a+b&user=u%26v", {"PASSWORD": "a+b", "USER": "u&v"}),
        ("postgresql://u:a#b@h/d?sslmode=require", {"PASSWORD": "a#b", "HOST": "h", "SSLMODE": "require"}),
        ("postgresql://h/d?password=a#b", {"PASSWORD": "a#b"}),
        ("postgresql://u@[2001:db8::1]:6000/d", {"HOST": "2001:db8::1", "PORT": "6000"}),
        ("postgresql://%2Frun%2FMy%20Sockets/d", {"HOST": "/run/My Sockets", "DATABASE": "d"}),
        ("postgresql:///d?host=/tmp", {"HOST": "/tmp", "DATABASE": "d"}),
        (r"host=h password=a\ b\\c user='o''x'", None),
        (r"host=h password=a\ b\\c", {"PASSWORD": "a b\\c"}),
        (r"host=h password='it\'s = \\ so' dbname = 'a b'", {"PASSWORD": "it's = \\ so", "DATABASE": "a b"}),
        ("host=h password=a'b", {"PASSWORD": "a'b"}),
        ("host=h password=é🙂", {"PASSWORD": "é🙂"}),
        ("host=h password='open", None),
        ("host=a,b user=u", None),
        ("postgresql://a:1,b:2/d", None),
        ("service=bank", None),
        ("postgresql://h/d?options=-csearch_path%3Dx", None),
        ("postgresql://u:p@x@h/d", None),
        ("host=h password=a%00b", {"PASSWORD": "a%00b"}),
        ("postgresql://u:a%00b@h/d", None),
        ("nothing", None),
    ],
)
def test_an_address_is_read_as_libpq_reads_it(text: str, expected: dict[str, str] | None) -> None:
    if expected is None:
        with pytest.raises(InvalidError) as caught:
            parse_connection(text)
        assert "p@x" not in str(caught.value) and "a%00b" not in str(caught.value)
        return
    found = parse_connection(text).variables
    assert {name: found.get(f"PG{name}") for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("postgresql://u@h/d", "h:5432"),
        ("host=bank.example hostaddr=192.0.2.7 port=6000", "192.0.2.7:6000"),
        ("host=/run/pg port=6000", "/run/pg/.s.PGSQL.6000"),
    ],
)
def test_the_address_that_a_drill_must_not_reach_is_the_one_that_is_connected_to(text: str, address: str) -> None:
    assert parse_connection(text).address == address
