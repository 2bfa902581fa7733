"""From a configuration to an outcome: what is missing is found, computed, searched again, and told."""
