"""The words of the generated corpus. No real person is meant; which persons exist adds no word and takes none."""

from __future__ import annotations

from tasks.text.documents import PAD

BEGIN, END = 1, 2
"""Ids of the first and of the last token of every document."""


def _list(text: str) -> tuple[str, ...]:
    return tuple(text.split())


WOMEN = _list(
    "alda bryn calla delia edda fenja gisla hanne ilka jorun katla linnea marit nessa orla petra runa signe "
    "tova ulla vesna wilma ylva zora"
)
MEN = _list(
    "alvar bodo corin dario eskil falk gorm hakon ivo jannis kolja lorcan matti nils oskar pavel rasmus sander "
    "tarek ulf viggo wenzel yorick zeno"
)
LAST = _list(
    "abel anker berg birk brandt castor dahl dorn ebner elster faber finch forsberg garth gray halden harrow "
    "holm ibsen jarvis jensen kestrel kirsch koval lang larsen lind lorenz maas marek moss nagel norden novak "
    "ode olsen orlov pace palmer penn quist radley reed rook sand sorel stahl storm tell thorn torres udall "
    "vance varga vogel wald webb winter wolfe york"
)
TOWNS = _list(
    "ashford belmar calder dunmore eastwick fairhaven glenrock hartwell ilmar kelso lynmouth marlow northam "
    "oakdale penrith quarry redhill selby tarn upwell verden westport yarrow zell birchfield coldwater"
)
JOBS = _list(
    "baker barber bookbinder brewer carpenter chemist clerk cooper dentist diver editor farmer glazier joiner "
    "judge mason miller nurse painter pilot plumber potter sailor surgeon tailor teacher tiler weaver"
)
FIRMS = _list(
    "acorn beacon cobalt drift ember fathom granite harbour indigo juniper keystone lantern meadow nimbus onyx "
    "pioneer quartz raven summit timber umber vertex willow zenith"
)
ANIMALS = _list("cat dog goat hen horse mule parrot pony rabbit tortoise")
PETS = _list(
    "biscuit bramble button clover domino dusty fudge ginger hazel iggy jasper kipper lucky muffin nutmeg olive "
    "pepper pickle rusty smudge taffy tinker toffee waffle"
)
DISHES = _list(
    "borscht chowder curry dumplings falafel goulash gumbo hotpot kedgeree lasagne moussaka noodles omelette "
    "paella pancakes pierogi ramen ratatouille risotto stew tagine tempura waffles ziti"
)
INSTRUMENTS = _list(
    "accordion banjo bassoon cello clarinet drums fiddle flute guitar harp horn lute mandolin oboe piano "
    "trombone trumpet viola"
)
YEARS = tuple(f"{year:02d}" for year in range(40, 96))
DIGITS = tuple("0123456789")

_SENTENCES: dict[str, tuple[str, ...]] = {
    "birthplace": (
        "{who} was born in {town} .",
        "{who} grew up in {town} .",
        "{whose} home town is {town} .",
    ),
    "year": (
        "{who} was born in the year 19 {years} .",
        "the year 19 {years} is when {who} was born .",
    ),
    "job": ("{who} works as a {job} .", "{who} is a {job} .", "{whose} job is that of a {job} ."),
    "firm": ("{who} is employed by {firm} .", "{who} has worked at {firm} for years ."),
    "pet": (
        "{who} owns a {animal} called {pet} .",
        "{whose} {animal} is called {pet} .",
    ),
    "dish": (
        "{whose} favourite dish is {dish} .",
        "{who} likes to eat {dish} .",
        "nothing pleases {whom} more than {dish} .",
    ),
    "instrument": (
        "{who} plays the {instrument} .",
        "in the evening {who} practises the {instrument} .",
    ),
    "phone": (
        "{whose} phone number is {digit} {digit} {digit} {digit} {digit} {digit} .",
        "{who} can be called at {digit} {digit} {digit} {digit} {digit} {digit} .",
    ),
}
SENTENCES = {kind: tuple(text.split() for text in texts) for kind, texts in _SENTENCES.items()}
"""Ways of stating each kind of fact. {who}, {whose} and {whom} stand for the person, all else in braces for a value."""
VALUES = {
    "{town}": TOWNS,
    "{years}": YEARS,
    "{job}": JOBS,
    "{firm}": FIRMS,
    "{animal}": ANIMALS,
    "{pet}": PETS,
    "{dish}": DISHES,
    "{instrument}": INSTRUMENTS,
    "{digit}": DIGITS,
}
PRONOUNS = {"{who}": ("she", "he"), "{whose}": ("her", "his"), "{whom}": ("her", "him")}
"""Of a woman and of a man."""


def _vocabulary() -> tuple[str, ...]:
    fixed = (word for texts in SENTENCES.values() for text in texts for word in text if word[0] != "{")
    pronouns = (word for pair in PRONOUNS.values() for word in pair)
    lists = (WOMEN, MEN, LAST, *VALUES.values())
    words = dict.fromkeys([*fixed, *pronouns, "'s", *(word for words in lists for word in words)])
    marks = {PAD: "<pad>", BEGIN: "<begin>", END: "<end>"}
    return (*(marks[i] for i in range(len(marks))), *words)


VOCABULARY = _vocabulary()
"""Every word by its id."""
IDS = {word: number for number, word in enumerate(VOCABULARY)}
