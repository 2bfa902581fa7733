"""What is for images is refused on documents, and the other way round, while planning and in one line."""

import pytest

from orchestrator.config.settings import load
from orchestrator.plan.grid import make_plan
from tasks.attacks.base import attacks
from tasks.errors import AuditError
from tasks.forget_sets.base import forget_kinds
from tasks.unlearn.base import methods
from tests.support.language_sweeps import changed_language
from tests.support.sweeps import changed


def refusal(folder, text):
    path = folder / "audit.toml"
    path.write_text(text)
    with pytest.raises(AuditError) as caught:
        make_plan(load(str(path)))
    line = str(caught.value)
    assert "\n" not in line
    return line


METHOD = 'method = ["finetune", "npo"]'
ATTACK = 'attack = ["none", "population", "extraction", "sampling"]'
OPTIONS = "options = { d = 16, layers = 2, heads = 2 }"
STATISTICS = 'statistics = ["loss_threshold", "min_k_pp", "zlib", "reference"]'
LONGEST = 42
CASES = {
    "a method of classes": (
        {METHOD: 'method = ["boundary_shrink"]'},
        "axes.method: 'boundary_shrink': BoundaryShrink: expected a model trained to classify, got language; take "
        "undial, or random_tokens",
    ),
    "a part of a method": (
        {METHOD: 'method = ["rum:base_method=unsir"]'},
        "Unsir: expected a model trained to classify, got language; take random_tokens, or grad_diff",
    ),
    "a ranking by pixels": (
        {METHOD: 'method = ["rum:ranking=curvature"]'},
        "axes.method: 'rum:ranking=curvature': ranking: expected calibrated_loss or confidence, or stored scores",
    ),
    "refusals where nobody asks": (
        {METHOD: 'method = ["idk"]'},
        "axes.method: 'idk': expected documents that are all a prompt and its completion, as it answers prompts, and "
        "'fictitious_people' holds others; take npo or simnpo",
    ),
    "an attack of pixels": (
        {ATTACK: 'attack = ["none", "fgsm"]'},
        "axes.attack: 'fgsm': FGSM: expected a model trained to classify, got language",
    ),
    "a statistic of classes": (
        {STATISTICS: 'statistics = ["mentr"]'},
        "axes.attack: 'population': statistics: 'mentr' is not of models trained to language; expected some of "
        "loss_threshold, logistic_loss, svc_confidence, svc_correctness, min_k, min_k_pp, zlib, reference",
    ),
    "a base that is not there": (
        {
            STATISTICS: 'statistics = ["reference"]',
            '[pretraining]\nepochs = 1\noptimizer = "adamw"\nlr = 3e-3\n': "",
        },
        "axes.attack: 'population': statistics: 'reference' compares with the base that training starts from, and "
        "architecture 'tiny_gpt' has none; add [pretraining], or take an architecture with weights",
    ),
    "a prefix that no document is longer than": (
        {"[evaluation]": "[attacks.extraction]\nprefixes = [5, 40]\n[evaluation]"},
        "axes.attack: 'extraction': prefixes: expected less than the ",
    ),
    "samples beyond the end of every document": (
        {ATTACK: 'attack = ["sampling"]', "[evaluation]": "[attacks.sampling]\nprefix = 40\n[evaluation]"},
        "axes.attack: 'sampling': prefix, continuation: expected at most the ",
    ),
    "no samples": (
        {ATTACK: 'attack = ["sampling:samples=0"]'},
        "attacks.sampling:samples=0: samples: expected at least 1, got 0",
    ),
    "an unknown statistic of examples": (
        {ATTACK: 'attack = ["u_lira:statistics=min_k_p;"]'},
        "axes.attack: 'u_lira:statistics=min_k_p;': statistics: no statistic of documents 'min_k_p'. Did you mean "
        "'min_k_pp'? Valid: extraction, min_k, min_k_pp, phi, token_accuracy",
    ),
    "a statistic of examples twice": (
        {ATTACK: 'attack = ["klom:statistics=phi;phi"]'},
        "axes.attack: 'klom:statistics=phi;phi': statistics: expected different names, got phi, phi",
    ),
    "an attack on canaries": (
        {ATTACK: 'attack = ["one_run"]'},
        "axes.attack: 'one_run': OneRun: expected a model trained to classify, got language",
    ),
    "an attack that may be on canaries": (
        {ATTACK: 'attack = ["rank_test:targets=canaries"]'},
        "axes.attack: 'rank_test:targets=canaries': targets: expected forget_set, as there are no canaries of "
        "documents, got canaries",
    ),
    "a forget set of classes": (
        {'kind = "random"\nfraction = 0.2': 'kind = "class"\nlabel = 0'},
        "forget_sets.documents: WholeClass: expected a model trained to classify, got language",
    ),
    "an unknown person": (
        {'kind = "groups"\nfraction = 0.2': 'kind = "group"\nname = "alvar stern"'},
        "forget_sets.persons: name: expected one of the 30 groups of the data set, got 'alvar stern'. Did you mean "
        "'alvar storm'?",
    ),
    "a model of images": (
        {'language = "gpt"\noptions = { d = 16, layers = 2, heads = 2 }': 'timm = "resnet18"'},
        "axes.architecture: 'tiny_gpt' is for images, and 'fictitious_people' holds documents; expected "
        'language = "gpt" in [architectures.tiny_gpt]',
    ),
    "a bare model of images": (
        {'architecture = ["tiny_gpt"]': 'architecture = ["resnet18"]'},
        "axes.architecture: 'resnet18' is for images",
    ),
    "two models at once": (
        {'language = "gpt"': 'language = "gpt"\ntimm = "resnet18"'},
        'architectures.tiny_gpt: expected one of timm, language = "gpt" and transformers or weights, got several',
    ),
    "no model": (
        {'language = "gpt"\n': ""},
        'architectures.tiny_gpt: expected one of timm, language = "gpt" and transformers or weights, got none',
    ),
    "another language model": (
        {'language = "gpt"': 'language = "gtp"'},
        "architectures.tiny_gpt.language: no value 'gtp'. Did you mean 'gpt'?",
    ),
    "heads that do not share the width": (
        {OPTIONS: "options = { d = 15, heads = 2 }"},
        "architectures.tiny_gpt: options: d: expected a multiple of heads = 2, such as 16, got 15",
    ),
    "an unknown size": (
        {OPTIONS: "options = { width = 16 }"},
        "architectures.tiny_gpt: options: no key 'width'. Valid: context, d, heads, layers, tied",
    ),
    "a context that is too short": (
        {OPTIONS: "options = { context = 32 }"},
        f"architectures.tiny_gpt.options: context: expected at least {LONGEST - 1}, as documents have up to {LONGEST} "
        "tokens and none is cut, got 32",
    ),
    "pixels' normalisation": (
        {"[axes]": "mean = [0.4]\n[axes]"},
        "data.mean: expected none, as 'fictitious_people' holds documents, got [0.4]",
    ),
    "augmentation": (
        {"[training]": '[training]\naugmentation = "shift"'},
        "architectures.tiny_gpt.training.augmentation: expected \"none\", as 'fictitious_people' holds documents",
    ),
    "augmentation of the base": (
        {"[pretraining]": '[pretraining]\naugmentation = "shift"'},
        'pretraining.augmentation: expected "none"',
    ),
    "a base without a public part": (
        {"num_public = 30": "num_public = 0"},
        "pretraining: expected a data set with a public part, and 'fictitious_people' has none; leave the table out",
    ),
    "canaries": (
        {"[execution]": "[shadows]\ncanaries = 4\n[execution]"},
        "shadows.canaries: expected 0, as 'fictitious_people' holds documents, got 4",
    ),
}


@pytest.mark.parametrize(("replacements", "told"), CASES.values(), ids=CASES)
def test_what_does_not_fit_documents_is_refused(replacements, told, tmp_path):
    line = refusal(tmp_path, changed_language(replacements))
    assert told in line, line


IMAGES = {
    "a method of documents": (
        {'method = ["finetune", "gradient_ascent"]': 'method = ["random_tokens"]'},
        "axes.method: 'random_tokens': RandomTokens: expected a model trained to language, got classify",
    ),
    "an attack on documents": (
        {'"population"]': '"extraction"]'},
        "axes.attack: 'extraction': Extraction: expected a model trained to language, got classify",
    ),
    "a statistic of documents": (
        {'"population"]': '"population:statistics=min_k;"]'},
        "statistics: 'min_k' is not of models trained to classify",
    ),
    "a statistic of single documents": (
        {'"population"]': '"u_lira:statistics=min_k_pp;"]'},
        "statistics: no statistic of images 'min_k_pp'. Valid: phi",
    ),
    "persons": (
        {"random:fraction=0.2": "groups:fraction=0.2"},
        "expected a data set whose examples belong to groups, got one without; take random",
    ),
    "a language model": (
        {'architecture = ["net"]': 'architecture = ["gpt"]'},
        "axes.architecture: 'gpt' is for documents, and 'synthetic' holds images; expected a timm model",
    ),
    "a base": (
        {"[training]": "[pretraining]\nepochs = 1\n[training]"},
        "pretraining: expected a data set with a public part, and 'synthetic' has none",
    ),
}


@pytest.mark.parametrize(("replacements", "told"), IMAGES.values(), ids=IMAGES)
def test_what_does_not_fit_images_is_refused(replacements, told, tmp_path):
    line = refusal(tmp_path, changed(replacements))
    assert told in line, line


def test_everything_says_for_whom_it_is():
    """What is of pixels or classes alone says so; nothing else does."""

    def only(registry, name):
        return {entry for entry in registry.names() if registry.get(entry).objectives == {name}}

    assert only(methods, "language") == {
        "dpo",
        "grad_diff",
        "idk",
        "kl_min",
        "npo",
        "random_tokens",
        "rmu",
        "simnpo",
        "task_vector",
        "undial",
        "wga",
    }
    assert only(attacks, "language") == {"extraction", "sampling", "truth_ratio"}
    assert only(methods, "classify") == {
        "amun",
        "boundary_expand",
        "boundary_shrink",
        "ct",
        "msg",
        "twin",
        "unsir",
    }
    adversarial = {name for name in attacks.names() if attacks.get(name).family == "adversarial"}
    assert adversarial
    assert only(attacks, "classify") == adversarial | {"one_run"}
    poisons = {"interclass_confusion", "label_noise", "backdoor"}
    assert poisons | {"class", "partial_class", "sub_class"} <= only(forget_kinds, "classify")
