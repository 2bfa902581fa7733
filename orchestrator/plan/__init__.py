"""What would be done: cells, the models behind them, their names. Imports neither torch nor Ray."""
