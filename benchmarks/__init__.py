"""Each goal of performance, measured against its yardstick in the same run: `python -m benchmarks`."""
