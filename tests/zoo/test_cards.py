"""Cards and the catalogue: text from a file is text, and incomplete metadata is one sentence."""

import copy
import shutil

import pytest

from kerasae import presets
from kerasae.storage import manifest
from kerasae.zoo import cards, catalogue, recipes

pytestmark = pytest.mark.home("torch")
NAME = "sparse_strokes"
ABOUT = presets.metadata(NAME)


@pytest.fixture
def entry_of(tmp_path):
    """A function that gives the entry of a preset with other metadata."""
    folder = tmp_path / "preset"
    shutil.copytree(presets.find(NAME), folder)

    def entry(about):
        manifest.write(folder, about)
        return catalogue.preset(folder)

    return entry


EVIL = "<script>alert(1)</script> <img onerror=x> [a](b) ![c](d) |e| `f` *g* &lt; \\h"


@pytest.mark.parametrize("key", ["name", "title", "paper"])
def test_text_of_a_file_is_text_on_the_card(key, entry_of):
    page = cards.text(entry_of({**ABOUT, key: EVIL}), recipes.RECIPES["sparse"])
    page = "\n".join(line for line in page.splitlines() if "from_preset(" not in line)
    page = "\n".join(line for line in page.splitlines() if not line.startswith("    KERAS_"))
    assert "<script" not in page and "<img" not in page and "|e|" not in page
    assert "&lt;script&gt;" in page and r"\[a\](b)" in page and r"\`f\` \*g\* &amp;lt; \\h" in page


def test_measures_and_versions_are_text_too(entry_of):
    measures = {EVIL: {"value": 1.0, "tolerance": 1.0, "unit": EVIL}}
    about = {**ABOUT, "measures": measures, "versions": {EVIL: EVIL}}
    page = cards.text(entry_of(about), recipes.RECIPES["sparse"])
    assert "<script" not in page and page.count("&lt;script&gt;") == 4


def test_a_name_stays_one_word_of_the_command(entry_of):
    page = cards.text(entry_of({**ABOUT, "name": "a\"; rm -r ~ '"}), recipes.RECIPES["sparse"])
    assert """train 'a"; rm -r ~ '"'"''""" in page and 'from_preset("a\\"; rm -r ~ \'")' in page


def test_no_character_reaches_the_terminal_that_controls_it(entry_of):
    dirty = "red \x1b[31m bell \x07 back \u202e line\nend"
    measures = {dirty: {"value": 1.0, "tolerance": 1.0, "unit": dirty}}
    about = {**ABOUT, "title": dirty, "paper": dirty, "name": dirty, "measures": measures}
    entry = entry_of({**about, "versions": {dirty: dirty}})
    texts = (entry.title, entry.paper, entry.name, entry.headline, str(entry.versions))
    assert all(map(str.isprintable, texts))
    assert entry.title == r"red \x1b[31m bell \x07 back \u202e line\nend"
    assert cards.text(entry, recipes.RECIPES["sparse"]).replace("\n", "").isprintable()
    assert catalogue.printable("Fréchet distance, ∑ 数") == "Fréchet distance, ∑ 数"


KEYS = [key for key in catalogue.EXPECTED if key != "recipe"]


@pytest.mark.parametrize("key", KEYS)
def test_what_is_missing_is_named(key, entry_of):
    about = {name: value for name, value in ABOUT.items() if name != key}
    with pytest.raises(ValueError, match=rf"metadata\.json` is broken: `{key}` is missing"):
        entry_of(about)


@pytest.mark.parametrize("key", catalogue.EXPECTED)
@pytest.mark.parametrize("value", [None, True, [], {}, "", -1, ["a"], {"a": 1}], ids=repr)
def test_what_is_of_another_type_is_named(key, value, entry_of):
    if key == "versions" and value == {}:
        return
    if key == "seconds" and value == -1:
        value = "1"
    with pytest.raises(ValueError, match=rf"metadata\.json` is broken: `{key}` is .*, expected a"):
        entry_of({**ABOUT, key: value})


@pytest.mark.parametrize(
    "measure",
    [
        None,
        3,
        [],
        {},
        {"value": 1.0},
        {"tolerance": 1.0},
        {"value": "1", "tolerance": 1.0},
        {"value": 1.0, "tolerance": None},
        {"value": 1.0, "tolerance": 1.0, "unit": 3},
        {"value": 1.0, "tolerance": 1.0, "other": 3},
        {"value": [1.0], "tolerance": 1.0},
    ],
    ids=repr,
)
def test_measures_are_checked(measure, entry_of):
    about = copy.deepcopy(ABOUT)
    about["measures"]["squared error"] = measure
    with pytest.raises(ValueError, match=r"`measures` is .*, expected an object of name and"):
        entry_of(about)


@pytest.mark.parametrize("word", ["a b", "a`b", "a;b", "<b>", "../a", "a\nb"])
@pytest.mark.parametrize("key", ["model", "dataset", "recipe", "backend", "budget"])
def test_words_that_stand_in_commands(key, word, entry_of):
    with pytest.raises(ValueError, match=f"`{key}` is .*, expected a name of letters"):
        entry_of({**ABOUT, key: word})


def test_each_defect_is_a_sentence(entry_of):
    about = {**ABOUT, "seed": "1", "epochs": None}
    del about["title"]
    with pytest.raises(ValueError) as said:
        entry_of(about)
    assert str(said.value).endswith(
        "is broken: `title` is missing, expected a text. `seed` is '1', expected a whole number of "
        "at least 0. `epochs` is None, expected a whole number of at least 0."
    )


@pytest.mark.parametrize("name", presets.names())
def test_shipped_metadata_holds_the_checksums(name):
    assert presets.metadata(name)["sha256"].keys() == set(presets.FILES)
