"""How fast builders are beside one another: ``python -m tests.benchmarks``; see the README here."""
