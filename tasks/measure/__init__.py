"""What is measured on a model: robustness, fairness, and their place in the metrics table."""
