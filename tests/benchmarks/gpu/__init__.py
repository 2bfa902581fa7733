"""What only a card can settle, with torch, timm and `tasks/` alone: `python -m tests.benchmarks.gpu`."""
