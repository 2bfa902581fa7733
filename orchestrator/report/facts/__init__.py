"""What a report says, as frozen dataclasses that become JSON: numbers, names and sentences, no HTML and no colours."""
