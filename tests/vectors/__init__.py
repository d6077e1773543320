"""Tests against truth that others made: vectors and files of foreign logs."""
