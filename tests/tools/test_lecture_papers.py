"""What lectures and claims say of the papers: numbers as published, quotations as printed."""

import re
import tomllib
from pathlib import Path

import pytest

from course_utils import deck, gan, published, transfer
from tools.lectures import lectures, read_source

PRINTED = tomllib.loads(Path(published.__file__).with_suffix(".toml").read_text("utf-8"))
MODELS = published.szegedy_models()
FIRST = transfer.cells(published.cross_model_table().iloc[:6, :6])
SECOND = transfer.cells(published.cross_training_table().iloc[:3, :3])
LOUD = transfer.cells(published.cross_training_table(amplified=True).iloc[:3, :3])
OWN = published.cross_model_table().iat[0, 0]  # on the diagonal, of all three tables
QUIET = published.cross_training_table().iloc[3]
SETTINGS = PRINTED["fast_gradient_settings"]
CLEAN = published.CLEAN_ERRORS
NATS = published.parzen_log_likelihoods()
P1, LARGER, P2 = published.cross_training_table().columns[:3]
SWAPPED = SECOND[LARGER, P1]

# The words around a paper's number, {} in its place and # in that of one of ours, and the number.
# A number that a cell near it prints is compared with that in test_lecture_prose.py.
NUMBERS = {
    "01": [
        ("against {} %. And ours is a good classifier", [MODELS.at["FC10(1)", "test error"]]),
        ("short of the paper's, whose {} % lies", [MODELS.at["FC100-100-10", "test error"]]),
        ("and then {} lies just outside", [MODELS.at["FC100-100-10", "test error"]]),
        ("the paper reports {} %", [OWN]),
    ],
    "02": [
        ("the paper's FC10(1) errs on {} %", [MODELS.at["FC10(1)", "test error"]]),
        ("at FC100-100-10, # for {}. Keep", [MODELS.at["FC100-100-10", "test error"]]),
        ("which section 8 comes to, are {}, {}, {} and {}.", sorted(SECOND.unique())[:4]),
        ("{} % is one sixteenth", [SWAPPED]),
        (
            "{} and {} may be rounded to whole percents; {}, {} and {} we cannot explain",
            [
                FIRST["FC10(1)", "FC200-200-10"],
                FIRST["FC200-200-10", "FC10(1e-2)"],
                FIRST["FC10(1)", "FC100-100-10"],
                FIRST["FC200-200-10", "FC10(1e-4)"],
                FIRST["AE400-10", "FC10(1)"],
            ],
        ),
        (
            "the paper's {} to {} %. What will noise",
            [FIRST.xs("FC10(1)", level="shown to").min(), OWN],
        ),
        ("the strongest: {} to {} %", [FIRST["FC10(1)"].min(), FIRST["FC10(1)"].max()]),
        (
            "In the paper the networks err on {} to {} % under noise of {}",
            [QUIET.iloc[:3].min(), QUIET.iloc[:3].max(), QUIET.iloc[3]],
        ),
        ("in {} % of the cases in the paper", [SWAPPED]),
        ("changed places in the paper ({} and {})", [SWAPPED, SECOND[P1, LARGER]]),
        ("Not luck: {} lies far below", [SWAPPED]),
        ("break the other, whose {} would", [SWAPPED]),
        ("and the fifth, {} against our", [SECOND[LARGER, P2]]),
        ("The paper has {} there", [OWN]),
        (
            "# against {} and # against {}; the third is within P1, # against {}.",
            [LOUD[LARGER, P2], LOUD[P2, P1], LOUD[P1, LARGER]],
        ),
    ],
    "03": [],
    "04": [
        ('GoogLeNet goes from "panda", {} %, to', [SETTINGS["panda, before"]]),
        ('to "gibbon", {} %', [SETTINGS["panda, gibbon"]]),
        ("look closely at the number {}.", [SETTINGS["panda, eps"]]),
        ("is the slides' {}.", [SETTINGS["panda, eps"]]),
        ("in place of the paper's {}, and", [SETTINGS["adversarial training, alpha"]]),
        ("(At the paper's {} every one", [SETTINGS["MNIST, eps"]]),
        ("fell from {} % to {} %", [*CLEAN.values()][:2]),
        ("without the paper's step of {}, and", [SETTINGS["MNIST, eps"]]),
        ("and at the paper's {} the clean error", [SETTINGS["MNIST, eps"]]),
    ],
    "05": [
        ("the paper's generator reached {} nats", [NATS.at["adversarial nets", "log-likelihood"]]),
        ("above a deep GSN*, {} against {}.", [*NATS["log-likelihood"].iloc[[3, 2]]]),
        ("among ten values from {} to {}.", [gan.PAPERS_SIGMAS[0], gan.PAPERS_SIGMAS[-1]]),
    ],
}
# Quotation marks around what no paper says.
OWN_WORDS = {"not a panda", "Which attack is stronger"}


def prose(path) -> str:
    cells = read_source(path).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return re.sub(r"`[^`]*`", "", text.partition("## References")[0])


def places(words: str, text: str) -> list[re.Match]:
    """Where the text has these words, the numbers in the places of {} being the groups."""
    number, pattern = r"\d*\.?\d+", re.escape(words)
    for sign, stands_for in {r"\{\}": f"({number})", r"\#": number, r"\ ": r"\s+(?:> )?"}.items():
        pattern = pattern.replace(sign, stands_for)
    return [*re.finditer(pattern, text)]


def without_papers(text: str, lecture: str) -> str:
    """The text with a stroke in place of each digit of a paper's number."""
    for words, _ in NUMBERS.get(lecture, []):
        for found in places(words, text):
            for start, end in map(found.span, range(1, found.re.groups + 1)):
                text = text[:start] + "_" * (end - start) + text[end:]
    return text


def rounds(said: str, number: float) -> bool:
    return abs(float(said) - number) <= 0.5001 * 10.0 ** -len(said.partition(".")[2])


@pytest.mark.parametrize("path", lectures(), ids=lambda path: path.stem)
def test_the_papers_numbers_in_prose(path):
    text = prose(path)
    for words, numbers in NUMBERS[path.stem[:2]]:
        (found,) = places(words, text)
        said = found.groups()
        assert all(map(rounds, said, numbers)) and len(said) == len(numbers), (words, said)


def test_another_number_in_the_same_words_is_noticed():
    text = "at FC100-100-10, 1.88 for\n> 1.65. Keep in mind"
    (found,) = places("at FC100-100-10, # for {}. Keep", text)
    assert found.groups() == ("1.65",) and not rounds("1.65", 1.64) and rounds("21", 21.1)
    assert without_papers(text, "02") == text.replace("1.65", "____")
    assert places("# for {}. Keep", "1.88 for some. Keep") == []


def test_the_papers_numbers_on_the_claims():
    error, clean = published.fast_gradient_sign()["error"], [*CLEAN.values()]
    gsn, nets = NATS.loc["deep GSN"], NATS.loc["adversarial nets"]
    distortion = MODELS.at["FC100-100-10", "av. distortion"]
    expected = {
        "smoothness-disproved": f"{OWN:g} % fooled at a distortion of {distortion}",
        "target-reached": f"{OWN:g} % reached",
        "own-row": f"{OWN:g} %",
        "panda": f'GoogLeNet: "gibbon" {SETTINGS["panda, gibbon"]} %',
        "training-regularises": f"{clean[0]} % to {clean[1]} %",
        "beyond-dropout": f"{clean[0]} % to {clean[1]} %",
        "rbf-resistant-pixels": f"one step of {SETTINGS['MNIST, eps']:g}: ".replace("0.", ".")
        + f"{error['shallow RBF']} % misread, softmax {error['shallow softmax']} %",
        "adversarial-objective": f"{error['maxout']} % to {error.iloc[2]} %",
        "gan-parzen": f"{nets.iloc[0]:g} +- {nets.iloc[1]:g} against "
        f"{gsn.iloc[0]:g} +- {gsn.iloc[1]:g} nats",
    }
    assert {name: deck.CLAIMS[name].paper for name in expected} == expected
    assert f"less the deep GSN's {gsn.iloc[0]:g} +- {gsn.iloc[1]}" in (
        deck.CLAIMS["gan-parzen"].measures
    )


def quoted(text: str) -> set[str]:
    """What stands in quotation marks, from two words on."""
    found = re.findall(r'"([^"]+)"', re.sub(r"\s+(?:> )?", " ", text))
    return {words.strip(".,") for words in found if " " in words}


def quotations() -> set[str]:
    said = [claim.says for claim in deck.CLAIMS.values()]
    return set().union(*(quoted(text) for text in [*map(prose, lectures()), *said]))


def test_what_is_quoted_is_printed_so():
    printed = [sentence for source in PRINTED["quotes"].values() for sentence in source]
    found = quotations()
    from_papers = {
        words: [one for one in printed if words.lower() in one.lower()] for words in found
    }
    assert {words for words, sources in from_papers.items() if not sources} == OWN_WORDS
    used = {sentence for sources in from_papers.values() for sentence in sources}
    assert [sentence for sentence in printed if sentence not in used] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('It is "not stable", he says.', {"not stable"}),
        ('The "veil" is "too linear."', {"too linear"}),
        ("nothing", set()),
    ],
)
def test_quotations_are_found(text, words):
    assert quoted(text) == words
