"""The Audit Trail Platform: records audit events in transparency logs and proves offline that none was changed."""

__version__ = "0.1.0"
