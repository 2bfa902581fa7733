"""Text without a download: documents of tokens, a closed vocabulary, and a generated corpus. NumPy only."""
