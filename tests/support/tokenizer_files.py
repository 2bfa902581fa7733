"""A small tokenizer.json in the published format: byte-level merges that were learned on other text."""

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

LEARNED_ON = [
    "the cat sat on the mat and the dog ran to the cat",
    "question answer who is the author of the book",
]


def write_tokenizer(folder: Path, size: int = 290) -> Path:
    """Write it into a folder; its first id is a word, and a template adds marks unless told not to."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        LEARNED_ON,
        trainers.BpeTrainer(
            vocab_size=size,
            initial_alphabet=alphabet,
            special_tokens=["!", "<s>", "</s>"],
            show_progress=False,
        ),
    )
    marks = [(mark, made.token_to_id(mark)) for mark in ("<s>", "</s>")]
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=marks)
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"
