"""Where someone stopped is found again, also in a file that was moved or edited."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

import pytest

from spark_mlx import paths
from spark_mlx.reader.bookmarks import MAX_DOCUMENTS, Bookmark, Bookmarks
from spark_mlx.reader.documents import Document
from spark_mlx.reader.formats.detect import read_file

WORDS = "zero one two three four five six seven eight nine".split()
SENTENCES = [f"Sentence {WORDS[i // 10]} {WORDS[i % 10]} has words of its own." for i in range(60)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "book.txt"
    write(file, SENTENCES)
    return file


def write(file: Path, sentences: list[str]) -> Document:
    file.write_text("\n\n".join(sentences), encoding="utf-8")
    return read_file(file)


def stop(file: Path, sentence: str = SENTENCES[30]) -> Document:
    document = read_file(file)
    Bookmarks().keep(document, document.text.index(sentence))
    return document


def found(document: Document) -> str | None:
    """The words at the place where it would go on."""
    place = Bookmarks().find(document)
    return None if place is None else document.text[place.position :].partition("\n")[0]


def test_kept_and_found(file: Path) -> None:
    assert Bookmarks().find(read_file(file)) is None
    document = stop(file)
    assert Bookmarks().find(document) == Bookmark(document.text.index(SENTENCES[30]), True)
    stop(file, SENTENCES[31])
    assert found(document) == SENTENCES[31]
    kept = json.loads((paths.state() / "places.json").read_text())
    assert [entry["path"] for entry in kept["documents"]] == [str(file)]
    assert stat.S_IMODE(paths.state().stat().st_mode) == 0o700  # what one reads is one's own


def test_a_document_read_to_its_end_begins_anew(file: Path) -> None:
    document = read_file(file)
    Bookmarks().keep(document, document.end)
    assert Bookmarks().find(document) is None


def test_a_file_that_was_moved(file: Path) -> None:
    stop(file)
    assert found(read_file(file.rename(file.with_name("moved.txt")))) == SENTENCES[30]


@pytest.mark.parametrize(
    ("edited", "expected"),
    [
        (["New beginning."] * 40 + SENTENCES, SENTENCES[30]),
        (SENTENCES[20:], SENTENCES[30]),
        (SENTENCES[:40], SENTENCES[30]),
        # The sentence itself was taken out: on after what came before it.
        (SENTENCES[:30] + SENTENCES[31:], SENTENCES[31]),
        # Its end was written anew.
        ([*SENTENCES[:30], "Sentence three zero has words of another.", "X."], None),
    ],
)
def test_a_file_that_was_edited(file: Path, edited: list[str], expected: str | None) -> None:
    stop(file)
    document = write(file, edited)
    place = Bookmarks().find(document)
    assert place is not None
    assert place.exact
    sentence = document.text[slice(*document.sentence_at(place.position))]
    assert sentence == (expected or edited[30])


def test_the_nearest_of_equal_sentences(file: Path) -> None:
    # Longer than what is kept of the words, so that only the distance tells them apart.
    same = "The very same sentence, which is " + "the very same one again and " * 5 + "again."
    document = write(file, [same if i % 10 == 5 else s for i, s in enumerate(SENTENCES)])
    place = document.text.index(SENTENCES[34]) + len(SENTENCES[34]) + 2
    Bookmarks().keep(document, place)
    # A little was put in before it; the words stand in six places.
    longer = write(file, ["A new one.", *document.text.split("\n\n")])
    assert Bookmarks().find(longer) == Bookmark(place + len("A new one.\n\n"), True)


def test_a_file_that_was_rewritten(file: Path) -> None:
    stop(file)
    document = write(file, ["Nothing here is as it was before, not a word of it."] * 50)
    place = Bookmarks().find(document)
    assert place is not None
    assert not place.exact
    assert 45 <= 100 * place.position / document.end <= 55


def test_what_has_no_file_is_known_by_its_words() -> None:
    from spark_mlx.reader.formats.detect import read_bytes

    data = "\n\n".join(SENTENCES).encode()
    Bookmarks().keep(read_bytes(data, "stdin"), 200)
    assert Bookmarks().find(read_bytes(data, "the clipboard")) == Bookmark(200, True)
    assert Bookmarks().find(read_bytes(data + b" More.", "stdin")) is None


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "{",
        "[]",
        '{"format": 1}',
        '{"format": 9, "documents": []}',
        '{"format": 1, "documents": 3}',
    ],
)
def test_a_damaged_file_is_begun_anew(file: Path, damaged: str) -> None:
    stop(file)
    (paths.state() / "places.json").write_text(damaged)
    assert Bookmarks().find(read_file(file)) is None
    stop(file)
    assert found(read_file(file)) == SENTENCES[30]


def test_damaged_entries_are_passed_over(file: Path) -> None:
    stop(file)
    kept = paths.state() / "places.json"
    data = json.loads(kept.read_text())
    data["documents"] = [None, {"path": 3}, {"path": str(file)}, *data["documents"]]
    kept.write_text(json.dumps(data))
    assert found(read_file(file)) == SENTENCES[30]


def test_the_oldest_are_forgotten(file: Path) -> None:
    document = stop(file)
    entry = json.loads((paths.state() / "places.json").read_text())["documents"][0]
    others = [{**entry, "path": f"/x/{i}", "fingerprint": str(i)} for i in range(MAX_DOCUMENTS + 5)]
    (paths.state() / "places.json").write_text(json.dumps({"format": 1, "documents": others}))
    Bookmarks().keep(document, 3)
    kept = json.loads((paths.state() / "places.json").read_text())["documents"]
    assert len(kept) == MAX_DOCUMENTS
    assert [entry["path"] for entry in (kept[0], kept[-1])] == [
        str(file),
        f"/x/{MAX_DOCUMENTS - 2}",
    ]


def test_state_is_private_whoever_made_the_folder_first(file: Path) -> None:
    """`say` may have made the folder, or an older version the file, for all to read."""
    paths.state().mkdir(parents=True)
    paths.state().chmod(0o755)
    for name in ("places.json", "nano-mentioned"):
        (paths.state() / name).write_text("{}")
        (paths.state() / name).chmod(0o644)
    stop(file)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in paths.state().iterdir()}
    assert modes == {"places.json": 0o600, "nano-mentioned": 0o600}
    assert stat.S_IMODE(paths.state().stat().st_mode) == 0o700


@pytest.mark.skipif(sys.platform == "darwin", reason="the folder is another one there")
def test_the_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SPARK_MLX_HOME")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert paths.state() == tmp_path / "spark-mlx"
    monkeypatch.delenv("XDG_STATE_HOME")
    assert paths.state() == Path.home() / ".local" / "state" / "spark-mlx"
