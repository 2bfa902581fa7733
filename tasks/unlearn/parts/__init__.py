"""What several unlearning methods are made of."""
