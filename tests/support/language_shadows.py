"""A small sweep of shadow models of documents, which start from one base, as TOML text."""

ATTACKS = ("rank_test", "u_lira_g1", "u_lira_g2", "before_after", "klom")
STATISTICS = ("phi", "min_k_pp")
TEXT = """
name = "tiny-language-shadows"
[data]
name = "fictitious_people"
options = { num_train = 26, num_test = 8, num_public = 40, seed = 0 }
[axes]
architecture = ["tiny_gpt"]
method = ["finetune"]
attack = ["rank_test", "u_lira_g1", "u_lira_g2", "before_after", "klom"]
forget_set = ["persons"]
seed = [0]
[shadows]
num = 16
forget_fraction = 0.5
strategy = "loop"
batch = 4
[forget_sets.persons]
kind = "groups"
fraction = 0.4
[pretraining]
epochs = 3
batch_size = 16
optimizer = "adamw"
lr = 5e-3
seed = 0
[training]
epochs = 5
batch_size = 8
optimizer = "adamw"
lr = 5e-3
[architectures.tiny_gpt]
language = "gpt"
options = { d = 32, layers = 1, heads = 2 }
[methods]
finetune = { epochs = 1, batch_size = 16, optimizer = "adamw", lr = 1e-3 }
[attacks.u_lira_g1]
base = "u_lira"
game = "G1"
[attacks.u_lira_g2]
base = "u_lira"
game = "G2"
[attacks.klom]
exchanges = 10
[evaluation]
bootstrap = 20
[execution]
backend = "inline"
device = "cpu"
"""


def of_seeds(corpus: int, base: int) -> str:
    """The sweep on another world of people, from a base of another seed."""
    text = TEXT
    for old, new in (("num_public = 40, seed = 0", corpus), ("lr = 5e-3\nseed = 0", base)):
        assert old in text
        text = text.replace(old, f"{old[:-1]}{new}")
    return text
