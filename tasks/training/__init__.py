"""Training from scratch and scoring: one loop for the original, the retrained and every shadow model."""
