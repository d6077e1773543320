"""The estate: what is run, what it holds, who answers for it, and what is proven of it. `example.yaml` shows a file."""
