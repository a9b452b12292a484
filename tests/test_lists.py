"""Whether a name stands in a list: said either way, and no more than that."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.engine import Bot, build_index, open_bot
from bot.lists import name_lists
from bot.query import understand
from bot.settings import load_settings
from bot.types import Filters
from tests.conftest import write_files

BIRDS = ("Albatross", "Avocet", "Brent Goose", "Coot", "Curlew", "Dunlin", "Eider", "Fulmar", "Gannet", "Goldeneye",
         "Great Auk", "Heron", "Kestrel", "Knot")  # fmt: skip


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory) -> Bot:
    """A list of fourteen birds, a list that is in no order, and a story that names one of the birds."""
    home = tmp_path_factory.mktemp("birds")
    files = {
        "list.md": "# Island birds\n\nThe bird club keeps a list.\n\n## Members of the bird club's list\n\n"
        + "".join(f"- {name}\n" for name in BIRDS),
        "tasks.md": "# Tasks\n\n"
        + "".join(f"- {task} the pier\n" for task in "wash paint mend sweep rig tar".split() * 3),
        "story.md": "# The lighthouse\n\nA heron once stood on the lamp of the lighthouse until noon.\n",
    }
    settings = load_settings(corpus=write_files(home / "corpus", files), index=home / "index")
    build_index(settings)
    return open_bot(settings)


def test_only_names_in_alphabetical_order_are_a_list(birds: Bot) -> None:
    found = {name: list(name_lists(document)) for name, document in birds.snapshot.documents.items()}
    assert {name: len(lists) for name, lists in found.items()} == {"list.md": 1, "tasks.md": 0, "story.md": 0}
    assert len(found["list.md"][0].entries) == 14


@pytest.mark.parametrize(
    ("question", "entry"),
    [
        ("Is the Coot a member?", "Coot"),
        ("and the brent goose?", "Brent Goose"),
        ("Does Knot belong to the club?", "Knot"),
    ],
)
def test_a_name_in_the_list_is_marked_and_said_to_be_there(birds: Bot, question: str, entry: str) -> None:
    answer = birds.ask(question)
    assert answer.status == "answered"
    assert answer.quote is not None and answer.quote.text == entry
    assert answer.notes == (f"{entry} is named in this list.",)


@pytest.mark.parametrize(
    ("question", "name", "neighbours"),
    [
        ("Is the Bittern a member?", "Bittern", ("Avocet", "Brent Goose")),
        ("what about Zorilla?", "Zorilla", ("Knot", "Knot")),
        ("Is Aardvark in the list?", "Aardvark", ("Albatross", "Albatross")),
    ],
)
def test_a_name_that_is_not_there_leads_to_where_it_would_stand(
    birds: Bot, question: str, name: str, neighbours: tuple[str, str]
) -> None:
    answer = birds.ask(question)
    document = birds.snapshot.documents["list.md"]
    assert answer.notes == (f"{name} is not named in this list.",)
    assert answer.quote is not None
    assert (
        answer.quote.text == "Members of the bird club's list" == document.text[answer.quote.start : answer.quote.end]
    )
    lookup = understand(question, birds.snapshot, birds.encoder).lookup
    assert lookup is not None
    place = document.text[lookup.place.start : lookup.place.end]
    assert place.startswith(neighbours[0]) and place.endswith(neighbours[1])
    assert place in answer.passages[0].hit.passage.text
    assert answer.passages[0].highlights == (), "no other name is marked"
    assert all(cited.highlights for cited in answer.passages[1:])


@pytest.mark.parametrize(
    "question",
    [
        "Where did the heron stand?",
        "When is the Coot awake?",
        "Is Bittern a lighthouse lamp?",
        "are you a robot?",
        "Are you Siri?",
        "how menny birds are listed?",
    ],
)
def test_other_questions_about_a_name_are_not_answered_by_the_list(birds: Bot, question: str) -> None:
    assert birds.ask(question).notes == ()


@pytest.mark.parametrize(
    ("question", "entry"),
    [
        ("Is Kenya among the members of WeProtect?", "Kenya"),
        ("Isn't Peru a member of WeProtect?", "Peru"),
        ("is peru actually a member", "Peru"),
        ("Has Peru joined WeProtect pls", "Peru"),
        ("quick question - is Peru a member", "Peru"),
        ("Good morning! Could you tell me if Peru is a member?", "Peru"),
        ("Does the list include Bosnia and Herzegovina?", "Bosnia & Herzegovina"),
        ("IS KENYA A MEMBER OF WEPROTECT?", "Kenya"),
        ("could you tell me if peru is in weprotect", "Peru"),
        ("Is the UK a member?", "The United Kingdom"),
        ("is the uk in weprotect", "The United Kingdom"),
        ("Is the U.S. a member of WeProtect?", "The United States of America"),
        ("Is Holland a member?", "The Netherlands"),
        ("Is South Korea a member?", "Korea, Republic of"),
    ],
)
def test_a_member_is_found_however_it_is_asked_for(shipped: Bot, question: str, entry: str) -> None:
    answer = shipped.ask(question)
    assert answer.notes == (f"{entry} is named in this list.",)
    assert answer.quote is not None and answer.quote.text == entry


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("Is North Korea a member of WeProtect?", "North Korea"),  # no Republic of Korea
        ("is south sudan a member?", "south sudan"),
        ("hi, could you tell me if north korea is in weprotect pls", "north korea"),
        ("Is Papua New Guinea a member?", "Papua New Guinea"),
        ("Is Northern Ireland a member?", "Northern Ireland"),
        ("Is Guinea-Bissau a member?", "Guinea-Bissau"),
        ("Is Dominica a member?", "Dominica"),  # no slip for the Dominican Republic
        ("Is Central America a member?", "Central America"),
        ("Is Côte d'Ivoire a member?", "Côte d'Ivoire"),
        ("Is Russia NOT a member?", "Russia"),
        ("is narnia part of weprotect", "narnia"),
    ],
)
def test_another_name_is_not_there_and_is_said_in_full(shipped: Bot, question: str, name: str) -> None:
    assert shipped.ask(question).notes == (f"{name} is not named in this list.",)


@pytest.mark.parametrize(
    "question",
    [
        "Can individuals join WeProtect?",
        "Do members vote?",
        "what is in the list",
        "The mission of the alliance is in its strategy?",
        "Are members audited?",
        "Is it expensive to join?",
        "Did the alliance expel any member?",
        "WPGA members",
        "Hello, which companies are members of WeProtect?",
        "Are Chile and Kenya members?",
        "Is Austria or Narnia a member of WeProtect?",
        "Did Kenya join NATO?",
        "did kenya join nato",
        "Is the Kenyan government a member?",
    ],
)
def test_nothing_is_said_of_a_list_where_no_one_name_is_asked_about(shipped: Bot, question: str) -> None:
    assert shipped.ask(question).notes == ()


@pytest.mark.parametrize("question", ["Are falcons and owls in the book?", "birds of prey on the island"])
def test_a_name_that_is_not_asked_about_is_not_marked(tmp_path: Path, question: str) -> None:
    text = "# Island birds\n\nThese are in the book of the club.\n\n" + "".join(f"- {name}\n" for name in BIRDS)
    settings = load_settings(corpus=write_files(tmp_path / "corpus", {"book.md": text}), index=tmp_path / "index")
    build_index(settings)
    cited = open_bot(settings).ask(question).passages[0].hit
    assert cited.passage.sentence_text(cited.best_sentence) == "These are in the book of the club."


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("Is Fido allowed in the hut?", ()),
        ("Is Oliver the warden of the hut?", ()),
        ("Is Bonzo in the porch?", ()),
        ("Is Quicksilver in the hut?", ("Quicksilver is not named in this list.",)),
        ("Is Barley provided in the hut?", ("Barley is not named in this list.",)),
    ],
)
def test_a_list_is_of_what_leads_to_it_not_of_all_that_its_document_says(
    tmp_path: Path, question: str, said: tuple[str, ...]
) -> None:
    """Of the hut, of what is provided in it; of nobody's dog, warden or porch."""
    things = "Axe Bowls Candles Duvets Forks Kettle Knives Lamps Matches Pans Plates Spoons Stove Towels".split()
    text = (
        "# The hut\n\nThe hut sleeps twelve. Dogs are allowed in the porch. The hut's warden is Ishbel.\n\n"
        "## Provided\n\nThis is in the hut:\n\n" + "".join(f"- {thing}\n" for thing in things)
    )
    settings = load_settings(corpus=write_files(tmp_path / "corpus", {"hut.md": text}), index=tmp_path / "index")
    build_index(settings)
    assert open_bot(settings).ask(question).notes == said


def test_what_a_list_is_of_may_stand_in_the_first_sentence_alone(tmp_path: Path) -> None:
    text = "# Together\n\nOf the Feather League many are proud. It meets.\n\n## Our members\n\nTake a look.\n\n"
    files = {"birds.md": text + "".join(f"- {name}\n" for name in BIRDS)}
    settings = load_settings(corpus=write_files(tmp_path / "corpus", files), index=tmp_path / "index")
    build_index(settings)
    assert open_bot(settings).ask("Is Bittern part of the league?").notes == ("Bittern is not named in this list.",)


def test_the_members_of_the_shipped_list_are_all_found(shipped: Bot) -> None:
    [names] = [one for document in shipped.snapshot.documents.values() for one in name_lists(document)]
    text = shipped.snapshot.documents[names.document].text
    assert len(names.entries) == 103
    for start, end in names.entries[::10]:
        answer = shipped.ask(f"Is {text[start:end]} a member of WeProtect?")
        assert answer.quote is not None and answer.quote.text == text[start:end]


def test_the_settings_of_a_filter_hold_for_lists_too(birds: Bot) -> None:
    answer = birds.ask("Is the Coot a member?", filters=Filters(document=("story.md",)))
    assert all(cited.citation.document == "story.md" for cited in answer.passages)
    assert answer.notes == ()
