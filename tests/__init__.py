"""The tests: real components, no mocks; `make test` runs all of them."""
