"""The order on PostgreSQL when the world fails: a lost connection, two processes, damaged rows."""

import psycopg
import pytest

from atp.adapters.postgres import PostgresEventStore
from atp.errors import ConflictError, TamperedError, UnavailableError
from tests.contracts.keepers import batch, check_whole, filled


def test_a_lost_connection_is_replaced_by_the_next_call(database: str) -> None:
    store = PostgresEventStore(database)
    filled(store, "acme", 3)
    with psycopg.connect(database, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    with pytest.raises(UnavailableError, match=r"^could not append .*\(hint: .*\)$"):
        store.append([batch("acme", 3, 2)], {})
    check_whole(store, "acme", size=3)
    store.append([batch("acme", 3, 2)], {})
    check_whole(store, "acme", size=5)
    store.close()


def test_a_server_that_is_away_is_unavailable() -> None:
    with pytest.raises(UnavailableError, match=r"^could not open .*\(hint: .*\)$"):
        PostgresEventStore("postgresql://nobody@127.0.0.1:1/nothing")


def test_of_two_processes_the_later_one_is_refused(database: str) -> None:
    one, other = PostgresEventStore(database), PostgresEventStore(database)
    filled(one, "acme", 3)
    other.append([batch("acme", 3, 2)], {})
    with pytest.raises(ConflictError):
        one.append([batch("acme", 3, 1)], {})
    check_whole(one, "acme", size=5)
    one.close()
    other.close()


@pytest.mark.parametrize("damage", ["DELETE FROM batch WHERE first = 3", "UPDATE batch SET crc = 1 WHERE first = 3"])
def test_a_damaged_row_is_named_by_its_first_index(database: str, damage: str) -> None:
    store = PostgresEventStore(database)
    filled(store, "acme", 3, 4, 5)
    with psycopg.connect(database, autocommit=True) as other:
        other.execute(damage.encode())
    with pytest.raises(TamperedError, match="entry 3 of log 'acme'"):
        store.read("acme", start=0, stop=12)
    store.close()
