"""A small sweep of language models for the tests, as TOML text."""

LANGUAGE = """
name = "tiny-language"
[data]
name = "fictitious_people"
options = { num_train = 20, num_test = 10, num_public = 30 }
[axes]
architecture = ["tiny_gpt"]
method = ["finetune", "npo"]
scope = ["all", "last-1"]
attack = ["none", "population", "extraction", "sampling"]
forget_set = ["documents", "persons"]
seed = [0]
[forget_sets.documents]
kind = "random"
fraction = 0.2
[forget_sets.persons]
kind = "groups"
fraction = 0.2
[pretraining]
epochs = 1
optimizer = "adamw"
lr = 3e-3
[training]
epochs = 4
batch_size = 16
optimizer = "adamw"
lr = 3e-3
[architectures.tiny_gpt]
language = "gpt"
options = { d = 16, layers = 2, heads = 2 }
[methods]
finetune = { epochs = 1, batch_size = 16, optimizer = "adamw", lr = 1e-3 }
npo = { epochs = 1, batch_size = 16, lr = 1e-3 }
[attacks.population]
statistics = ["loss_threshold", "min_k_pp", "zlib", "reference"]
[evaluation]
bootstrap = 20
[execution]
backend = "inline"
device = "cpu"
"""


def changed_language(replacements: dict[str, str]) -> str:
    """The small sweep with pieces of its text replaced; each must occur."""
    text = LANGUAGE
    for old, new in replacements.items():
        assert old in text, old
        text = text.replace(old, new)
    return text
