"""Would the tests notice? `python -m tests.mutants` changes one line at a time and runs the tests that cover it.

    python -m tests.mutants --area views --count 30 --seed 0
    python -m tests.mutants --only queries/harm.sql:40
    python -m tests.mutants --format markdown

Lines are drawn by a seed, area by area (`areas`); `python_operators` and `sql_operators` say what a line may become.
Which test files cover which lines is recorded once (`recorder`) and kept in .mutants/ until they change. Each mutant is
written into a copy of the working tree, and judged by a fork of this process, which holds torch, DuckDB and Arrow
already (`runner`): by the few quickest tests that run the line, and where these let it pass by every test that covers
it. Mutants that no test can kill are listed, with reasons, in equivalents.toml.

mutmut and cosmic-ray, the libraries for this, know Python alone, and half of what can go wrong here is SQL.
"""
