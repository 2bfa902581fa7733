"""The Ray backends: hosts are actors, shadow models are tasks, cells are trials of Tune. Only here is Ray imported."""
