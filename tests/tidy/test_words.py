"""The project speaks of itself alone, its pages are linked, and its links lead somewhere."""

import pytest

from tests.tidy import words
from tests.tidy.sources import committed, source


def test_no_file_speaks_of_the_place_it_was_written_in() -> None:
    assert "\n".join(complaint for file in committed() for complaint in words.speaks_of_itself(file)) == ""


@pytest.mark.parametrize(
    "word", ["see /wor" + "k/main", "in /tmp/ab" + "c/x", "from pyp" + "i.org", "/home/ann" + "a/x"]
)
def test_a_foreign_word_is_caught(word: str) -> None:
    assert len(list(words.speaks_of_itself(source("README.md", f"first\n{word}\n")))) == 1


@pytest.mark.parametrize("word", ["https://example.com/net" + "work/1", "../shared/vectors", "/tmp", "PyPI"])
def test_an_innocent_word_passes(word: str) -> None:
    assert list(words.speaks_of_itself(source("README.md", word))) == []


def test_every_document_is_linked() -> None:
    assert "\n".join(words.documents_are_linked(committed())) == ""


def test_an_orphaned_document_is_caught() -> None:
    readme = source("README.md", "[how to operate](docs/operating.md)")
    orphan, linked = source("docs/orphan.md", ""), source("docs/operating.md", "")
    assert len(list(words.documents_are_linked([readme, orphan, linked]))) == 1


def test_every_link_leads_somewhere() -> None:
    assert "\n".join(words.links_lead_somewhere(committed())) == ""


def test_a_broken_link_is_caught() -> None:
    page = source("docs/format.md", "[a](../README.md) [b](adr) [c](gone.md) [d](https://example.com) [e](#part)")
    decision, readme = source("docs/adr/0001-x.md", "[up](../format.md#keys)"), source("README.md", "")
    complaints = list(words.links_lead_somewhere([page, decision, readme]))
    assert len(complaints) == 1
    assert "gone.md" in complaints[0]
