"""The durable order on one SQLite file and a folder of sorted id runs."""

from atp.adapters.sqlite.order import SqliteEventStore, open_order

__all__ = ["SqliteEventStore", "open_order"]
