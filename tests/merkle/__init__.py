"""Tests of the mathematics: against a naive reference, and against whoever changes one bit."""
