"""That the nearest passages are found, by comparing with all or with some, checked against a plain scan with numpy."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import faiss
import numpy as np
import pytest

from bot.snapshot import _open_faiss
from bot.store import npy
from bot.types import Embeddings
from bot.vectors import (
    _CELLS_LOOKED_INTO,
    _FEW,
    EXACT,
    FLAT,
    Before,
    Floats,
    IndexChoice,
    Rows,
    SmallVectors,
    Vectors,
    build_index,
    chosen_factory,
    in_eight_bits,
    in_sixteen_bits,
    likeness,
    open_vectors,
)


def unit(count: int, dim: int, seed: int = 0) -> Embeddings:
    rows = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def kept(rows: Embeddings) -> Floats:
    """The rows as they are stored."""
    as_stored: Floats = (np.rint(rows * 32_767) / 32_767).astype(np.float32)
    return as_stored


def vectors_of(rows: Embeddings, factory: str | None = None) -> tuple[Vectors, IndexChoice]:
    """As they are written and opened again."""
    stored = in_sixteen_bits(rows)
    index, choice = build_index(stored, in_eight_bits(moved(rows)), factory)
    return open_vectors(_open_faiss(faiss.serialize_index(index).tobytes()), npy(stored), choice), choice


def scan(rows: Embeddings, vector: Floats, count: int, only: Rows | None = None) -> Rows:
    """The nearest of what is stored."""
    chosen = np.arange(len(rows)) if only is None else only
    cosines = kept(rows[chosen]).astype(np.float64) @ vector
    nearest: Rows = chosen[np.argsort(-cosines, kind="stable")[:count]]
    return nearest


# --- among all --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 10, 400, 1_000])
def test_an_exact_search_is_a_plain_scan(count: int) -> None:
    rows = unit(400, 32)
    vectors, choice = vectors_of(rows)
    assert (choice, str(choice)) == (IndexChoice(FLAT), "exact search")
    assert (len(vectors), vectors.dim) == (400, 32)
    for question in unit(20, 32, seed=1):
        assert vectors.nearest(question, count).tolist() == scan(rows, question, count).tolist()


def test_fewer_passages_than_are_asked_for_are_each_found_once() -> None:
    for factory in (None, "IVF2,SQ8", "HNSW4"):
        vectors, _ = vectors_of(unit(7, 8), factory)
        assert sorted(vectors.nearest(unit(1, 8, seed=1)[0], 50).tolist()) == list(range(7))


def test_vectors_of_rows_are_what_was_stored() -> None:
    rows = unit(50, 32)
    vectors, _ = vectors_of(rows)
    some = np.array([3, 0, 49, 3])
    assert np.abs(vectors.of(some) - rows[some]).max() <= 0.5001 / 32_767, "a whole number of them, the nearest"
    assert np.array_equal(vectors.of(slice(2, 9)), vectors.of(np.arange(2, 9)))
    assert vectors.of(some).dtype == vectors.cosines(rows[0], some).dtype == np.float32
    assert np.allclose(vectors.cosines(rows[0], some), rows[some] @ rows[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("value", [-1.0001, -1, -0.99999, 0, 1e-6, 0.05, 1, 1.0001])  # rounding may go beyond 1
def test_sixteen_bits_hold_any_number_of_a_unit_vector(value: float) -> None:
    stored = in_sixteen_bits(np.array([[value]], dtype=np.float32))
    assert stored.dtype == np.int16
    assert abs(stored[0, 0] / 32_767 - max(-1, min(value, 1))) <= 0.5001 / 32_767


def test_an_index_with_cells_is_chosen_for_more_passages_than_an_exact_search_is_fast_for() -> None:
    assert {chosen_factory(count, 384) for count in (0, 1, 5, EXACT)} == {FLAT}
    assert chosen_factory(EXACT + 1, 384) == "IVF512,PQ384x4fs"
    assert chosen_factory(1_000_000, 768) == "IVF4096,PQ768x4fs"


# --- in cells ---------------------------------------------------------------------------------------------------------


def test_where_most_passages_are_alike_some_are_found_all_the_same() -> None:
    """As in a log, or a sheet with one row again and again: most cells are empty then, and may be the nearest."""
    rows = np.concatenate([np.tile(unit(1, 64), (EXACT, 1)), unit(300, 64, seed=1)])
    vectors, choice = vectors_of(rows)
    assert choice.recall > 0.9, "any of those that are alike will do"
    for question in unit(100, 64, seed=2):
        found = vectors.nearest(question, 10)
        assert len(found)
        assert len(set(found.tolist())) == len(found)


def test_where_cells_find_too_little_all_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = unit(EXACT + 1, 16)
    assert vectors_of(rows)[1].cells
    monkeypatch.setattr("bot.vectors._TOO_LITTLE", 1.01)
    assert vectors_of(rows)[1] == IndexChoice(FLAT)
    assert vectors_of(rows[:500], "IVF16,SQ8")[1].cells, "what somebody has named is used"


def moved(rows: Embeddings) -> Floats:
    """Three hundred of the rows, each moved as far as a question stands from what answers it."""
    chosen = np.unique(np.linspace(0, len(rows) - 1, 300).astype(int))
    asked = kept(rows)[chosen]
    asked += np.random.default_rng(0).standard_normal(asked.shape, dtype=np.float32) * 0.7 / math.sqrt(rows.shape[1])
    nearby: Floats = asked / np.linalg.norm(asked, axis=1, keepdims=True)
    return nearby


def share_found(rows: Embeddings, factory: str, cells: int, asked: Floats | None = None) -> float:
    """How many of the ten nearest an index made here finds among its best 400, looking into some cells."""
    stored = kept(rows)
    index = faiss.index_factory(rows.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    index.train(stored)
    index.add(stored)
    asked = moved(rows) if asked is None else asked
    index.nprobe = cells  # type: ignore[attr-defined]
    _, found = index.search(asked, 400)
    shares = [
        len(set(some[some >= 0][np.argsort(-(stored[some[some >= 0]] @ one), kind="stable")[:10]]) & set(best))
        for one, some, best in zip(asked, found, np.argsort(-(asked @ stored.T), axis=1)[:, :10], strict=True)
    ]
    return sum(shares) / (10 * len(asked))


@pytest.mark.parametrize("factory", ["IVF16,SQ8", "IVF64,SQ8", "IVF16,PQ12x4fs"])
def test_the_fewest_cells_that_find_nearly_all_are_looked_into_and_what_they_find_is_measured(factory: str) -> None:
    rows = unit(4_000, 12)
    _, choice = vectors_of(rows, factory)
    assert (choice.factory, choice.tried) == (factory, 300)
    assert choice.recall == pytest.approx(share_found(rows, factory, choice.cells), abs=0.003)
    assert choice.recall >= 0.995
    fewer = [cells for cells in _CELLS_LOOKED_INTO if cells < choice.cells]
    assert not fewer or share_found(rows, factory, fewer[-1]) < 0.995
    assert str(choice) == (
        f"{factory}, {choice.cells} cells looked into, finds {choice.recall:.3f} of the 10 nearest (300 tried)"
    )


def test_at_least_one_cell_in_thirty_two_is_looked_into_however_easily_sentences_are_found() -> None:
    rows = np.repeat(unit(400, 12), 10, axis=0)  # the ten nearest to each stand in its own cell
    for factory, cells in (("IVF16,SQ8", 8), ("IVF256,SQ8", 8), ("IVF384,SQ8", 12)):
        assert build_index(in_sixteen_bits(rows), in_eight_bits(rows), factory)[1].cells == cells


def test_of_an_index_with_very_many_cells_as_many_are_looked_into_as_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = unit(4_000, 12)
    monkeypatch.setattr("bot.vectors._CELLS_LOOKED_INTO", (8, 12))
    assert build_index(in_sixteen_bits(rows), in_eight_bits(rows), "IVF512,SQ8")[1].cells == 12


def test_where_more_cells_find_less_no_more_are_looked_into() -> None:
    """Short codes do not tell apart what is nearly alike: the more is looked at, the more of it takes the places."""
    rows = unit(1, 64) + 0.05 * unit(12_000, 64, seed=1)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    _, choice = build_index(in_sixteen_bits(rows), in_eight_bits(rows), "IVF512,PQ16x4fs")
    assert choice.cells == 16, "the fewest of so many"
    fewest, most = (share_found(rows, choice.factory, cells, rows[::40].copy()) for cells in (16, 512))
    assert most < fewest - 0.2
    assert choice.recall == pytest.approx(fewest, abs=0.1)


def test_what_an_index_with_cells_finds_stands_in_the_order_of_the_stored_vectors() -> None:
    rows = unit(4_000, 12)
    vectors, _ = vectors_of(rows, "IVF64,SQ8")
    same = 0
    for question in moved(rows):
        found = vectors.nearest(question, 10)
        assert found.tolist() == scan(rows, question, 10, np.sort(found)).tolist()
        same += len(set(found.tolist()) & set(scan(rows, question, 10).tolist()))
    assert same >= 0.995 * 3_000


def test_of_few_passages_all_that_are_nearest_count_as_found() -> None:
    for count in (1, 2, 9):
        _, choice = vectors_of(unit(count, 8), "IVF1,SQ8")
        assert (choice.recall, choice.tried) == (1, count)


@pytest.mark.parametrize(
    "factory",
    ["Nope", "IVF4", "(", "☃", "Flat ", "PQ3", "PQ0", "IVF0,Flat", "IVF99999999999999999999,SQ8", "IDMap,Flat", "LSH"],
)
def test_an_index_that_faiss_does_not_know_or_cannot_search_is_refused_and_named(factory: str) -> None:
    with pytest.raises(ValueError, match=r"FAISS cannot build an index '.*' of 100 passages") as caught:
        build_index(in_sixteen_bits(unit(100, 8)), in_eight_bits(unit(100, 8)), factory)
    assert repr(factory) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("factory", ["IVF101,SQ8", "IVF4,SQ8,RFlat,Nope"])
def test_an_index_of_more_cells_than_passages_is_refused(factory: str) -> None:
    with pytest.raises(ValueError, match="of 100 passages"):
        build_index(in_sixteen_bits(unit(100, 8)), in_eight_bits(unit(100, 8)), factory)


@pytest.mark.parametrize("factory", ["HNSW8", "SQ8", "IVF4,Flat", "PCA4,Flat", "IVF4,SQ8,RFlat", "L2norm,Flat"])
def test_other_indexes_of_faiss_are_built_opened_and_searched(factory: str) -> None:
    rows = unit(300, 8)
    vectors, choice = vectors_of(rows, factory)
    assert choice.factory == factory
    assert 0.3 < choice.recall <= 1
    hits = [
        len(set(vectors.nearest(one, 10).tolist()) & set(scan(rows, one, 10).tolist())) for one in unit(50, 8, seed=1)
    ]
    assert sum(hits) > 0.3 * 500


# --- among some -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many() -> Embeddings:
    return unit(_FEW + 4_000, 8)


@pytest.fixture(scope="module", params=["Flat", "IVF16,SQ8", "IVF16,PQ8x4fs"])
def searched(request: pytest.FixtureRequest, many: Embeddings) -> Vectors:
    return vectors_of(many, request.param)[0]


@pytest.mark.parametrize("size", [0, 1, 7, 3_000, _FEW, _FEW + 1, _FEW + 3_000])
def test_only_the_passages_that_are_named_are_found(many: Embeddings, searched: Vectors, size: int) -> None:
    dice = np.random.default_rng(size)
    only = np.sort(dice.choice(len(many), size, replace=False))
    right = 0
    for question in unit(20, 8, seed=1):
        found = searched.nearest(question, 10, only)
        assert len(set(found.tolist())) == len(found) == min(size, 10)
        assert np.isin(found, only).all()
        right += len(set(found.tolist()) & set(scan(many, question, 10, only).tolist()))
    assert right >= 0.98 * 20 * min(size, 10)


def test_the_passages_that_are_farthest_are_found_where_only_they_are_named(
    many: Embeddings, searched: Vectors
) -> None:
    [question] = unit(1, 8, seed=1)
    for size in (5, _FEW + 1):
        farthest = np.sort(scan(many, question, len(many))[-size:])
        found = searched.nearest(question, 3, farthest)
        assert np.isin(found, farthest).all()
        nearest = scan(many, question, 3, farthest)
        assert many[found] @ question == pytest.approx(many[nearest] @ question, abs=0.01)


# --- opened -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "choice",
    [
        IndexChoice(FLAT),
        IndexChoice("IVF4,SQ8"),
        IndexChoice("IVF4,SQ8", 0),
        IndexChoice("IVF4,SQ8", -1),
        IndexChoice("IVF4,SQ8", 10**30),
        IndexChoice(FLAT, 8),
    ],
)
def test_a_choice_that_does_not_fit_the_index_is_refused(choice: IndexChoice) -> None:
    rows = in_sixteen_bits(unit(100, 8))
    index, right = build_index(rows, in_eight_bits(unit(100, 8)), "IVF4,SQ8")
    open_vectors(index, npy(rows), right)
    with pytest.raises(ValueError, match="do not fit"):
        open_vectors(index, npy(rows), choice)


@pytest.mark.parametrize("cells", [-1, 1, 8])
def test_an_exact_index_has_no_cells_to_look_into(cells: int) -> None:
    rows = in_sixteen_bits(unit(100, 8))
    index, _ = build_index(rows, in_eight_bits(unit(100, 8)))
    for factory in (FLAT, "IVF4,SQ8"):
        with pytest.raises(ValueError, match="do not fit"):
            open_vectors(index, npy(rows), IndexChoice(factory, cells))


def test_rows_that_do_not_fit_the_index_are_refused() -> None:
    rows = in_sixteen_bits(unit(100, 8))
    index, choice = build_index(rows, in_eight_bits(unit(100, 8)))
    for other in (rows[1:], rows[:, 1:], rows[None], rows.astype(np.float32), rows.ravel()):
        with pytest.raises(ValueError, match=r"fit|holds"):
            open_vectors(index, npy(other), choice)


# --- sentences --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [1, 7, 256, 384])
def test_sentences_in_eight_bits_are_off_by_less_than_promised(dim: int) -> None:
    rows = unit(300, dim)
    sentences = SmallVectors(npy(in_eight_bits(rows)))
    assert sentences.shape == (300, dim)
    assert sentences.stored.nbytes == 300 * (dim + 4)
    back = sentences.of(slice(None))
    assert back.shape == (300, dim)
    assert back.dtype == np.float32
    largest = np.abs(rows).max(axis=1, keepdims=True)
    assert (np.abs(back - rows) <= largest / 254 + 1e-6).all()
    if dim == 384:  # with fewer dimensions each number weighs more
        cosines = np.concatenate([unit(200, dim, seed=1), rows]) @ rows.T
        again = np.concatenate([unit(200, dim, seed=1), rows]) @ back.T
        assert np.abs(again - cosines).max() < 0.002


def test_sentences_are_found_by_their_rows() -> None:
    sentences = SmallVectors(npy(in_eight_bits(unit(50, 16))))
    whole, some = sentences.of(slice(None)), np.array([3, 0, 49, 3])
    assert np.array_equal(sentences.of(some), whole[some])
    assert np.array_equal(sentences.of(slice(2, 9)), whole[2:9])
    assert sentences.of(slice(2, 2)).shape == (0, 16)


def test_a_vector_of_one_number_or_of_none_survives() -> None:
    rows = np.array([[0, -1, 0], [0, 0, 0], [1e-3, 0, -1e-3]], dtype=np.float32)
    assert SmallVectors(npy(in_eight_bits(rows))).of(slice(None)) == pytest.approx(rows, abs=1e-9)
    assert in_eight_bits(rows[:0]).shape == (0, 7)


@pytest.mark.parametrize("shape", [(3,), (3, 4), (3, 0), (1, 3, 8), ()])
def test_sentences_of_another_form_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="another form"):
        SmallVectors(npy(np.zeros(shape, np.int8)))


# --- how alike they are -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 50, 999, 1_000])
def test_passages_are_as_alike_as_two_of_them_are_on_average(count: int) -> None:
    rows = unit(1, 24) + 0.3 * unit(count, 24, seed=1)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    stored = kept(rows).astype(np.float64)
    cosines = [one @ other for number, one in enumerate(stored) for other in stored[:number]]
    assert likeness(vectors_of(rows)[0]) == pytest.approx(math.sqrt(sum(cosines) / len(cosines)), abs=1e-3)


def test_of_many_passages_some_from_all_over_tell_how_alike_they_are() -> None:
    """Half of them are about one thing, half about another."""
    rows = np.repeat(np.eye(2, 24, dtype=np.float32), 4_000, axis=0)
    assert likeness(vectors_of(rows)[0]) == pytest.approx(math.sqrt(0.5), abs=0.01)


def test_likeness_is_between_0_and_1_whatever_the_passages() -> None:
    opposite = np.array([[1, 0], [-1, 0]], dtype=np.float32)
    assert likeness(vectors_of(opposite)[0]) == 0
    assert likeness(vectors_of(unit(1, 8))[0]) == likeness(vectors_of(np.ones((9, 1), np.float32))[0]) == 1


# --- brought up to date -----------------------------------------------------------------------------------------------


def learnt_from(index: faiss.Index) -> list[bytes]:
    """What an index has learnt: where its cells are, and what its codes stand for."""
    cells: Any = index
    centres = faiss.downcast_index(cells.quantizer)
    return [faiss.serialize_index(centres).tobytes(), faiss.vector_to_array(cells.pq.centroids).tobytes()]


@pytest.fixture
def before(monkeypatch: pytest.MonkeyPatch) -> tuple[Embeddings, Vectors]:
    """Vectors that lie in 60 heaps, in cells, as if there were many more."""
    monkeypatch.setattr("bot.vectors.EXACT", 1_000)
    rows = np.repeat(unit(60, 32), 100, axis=0) + 0.5 * unit(6_000, 32, seed=1)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    vectors, choice = vectors_of(rows)
    assert choice.factory.startswith("IVF")
    return rows, vectors


def changed(rows: Embeddings, first: int, last: int, new: Embeddings) -> tuple[Embeddings, Rows]:
    """The rows with others in place of some, and where each has gone."""
    now = np.arange(len(rows))
    now[last:] += len(new) - (last - first)
    now[first:last] = -1
    return np.concatenate([rows[:first], new, rows[last:]]), now


@pytest.mark.parametrize("count", [0, 7, 40, 90])
def test_what_was_learnt_serves_again_and_finds_what_is_there_now(
    before: tuple[Embeddings, Vectors], count: int
) -> None:
    """The rows that are gone are found no more, the others under their new numbers, those that are new as well."""
    rows, old = before
    now_there, now = changed(rows, 2_000, 2_040, unit(count, 32, seed=2))
    was = faiss.serialize_index(old.index).tobytes()
    stored = in_sixteen_bits(now_there)
    index, choice = build_index(stored, in_eight_bits(moved(now_there)), before=Before(old, now))
    assert learnt_from(index) == learnt_from(old.index)
    assert choice.recall >= 0.99
    vectors = open_vectors(_open_faiss(faiss.serialize_index(index).tobytes()), npy(stored), choice)
    again, _ = build_index(stored, in_eight_bits(moved(now_there)))
    assert index.ntotal == again.ntotal == len(now_there)
    for number in (0, 1_999, *range(2_000, 2_000 + count), 2_000 + count, len(now_there) - 1):
        assert number in vectors.nearest(now_there[number], 10)
    found = [set(vectors.nearest(one, 10).tolist()) & set(scan(now_there, one, 10).tolist()) for one in rows[::50]]
    assert sum(map(len, found)) >= 0.98 * 10 * len(found)
    assert faiss.serialize_index(old.index).tobytes() == was, "whoever asks the old one is not disturbed"


def test_where_many_rows_are_others_it_is_learnt_again(before: tuple[Embeddings, Vectors]) -> None:
    rows, old = before
    now_there, now = changed(rows, 0, 700, unit(700, 32, seed=3))
    index, _ = build_index(in_sixteen_bits(now_there), in_eight_bits(moved(now_there)), before=Before(old, now))
    assert learnt_from(index) != learnt_from(old.index)
    assert index.ntotal == len(now_there)


def test_where_less_is_found_than_before_it_is_learnt_again(before: tuple[Embeddings, Vectors]) -> None:
    """As after many small changes: here nothing is where it was when the cells were learnt."""
    rows, old = before
    turned = np.roll(rows, 7, axis=1) * np.where(np.arange(32) % 2, 1, -1).astype(np.float32)
    stale = Vectors(old.index, old.stored, replace(old.choice, recall=1.0))
    index, _ = build_index(
        in_sixteen_bits(turned), in_eight_bits(moved(turned)), before=Before(stale, np.arange(len(rows)))
    )
    assert learnt_from(index) != learnt_from(old.index)


@pytest.mark.parametrize("factory", ["IVF64,SQ8", FLAT])
def test_an_index_that_is_named_is_built_as_ever(before: tuple[Embeddings, Vectors], factory: str) -> None:
    rows, old = before
    stored, sentences = in_sixteen_bits(rows), in_eight_bits(moved(rows))
    index, choice = build_index(stored, sentences, factory, Before(old, np.arange(len(rows))))
    assert choice == build_index(stored, sentences, factory)[1]
    assert (choice.factory, index.ntotal) == (factory, len(rows))


def test_an_index_that_is_another_than_it_says_is_not_taken_over(before: tuple[Embeddings, Vectors]) -> None:
    rows, old = before
    stored, sentences = in_sixteen_bits(rows), in_eight_bits(moved(rows))
    other, _ = build_index(stored, sentences, "IVF64,SQ8")
    index, choice = build_index(
        stored, sentences, before=Before(Vectors(other, old.stored, old.choice), np.arange(len(rows)))
    )
    assert (choice.factory, index.ntotal) == (old.choice.factory, len(rows))
    assert isinstance(index, type(old.index))


def test_numbers_of_rows_that_never_were_do_no_harm(before: tuple[Embeddings, Vectors]) -> None:
    """As in a snapshot that somebody has made up."""
    rows, old = before
    fewer = Vectors(old.index, old.stored[:5_990], old.choice)
    stored, sentences = in_sixteen_bits(rows[:5_990]), in_eight_bits(moved(rows))
    index, _ = build_index(stored, sentences, before=Before(fewer, np.arange(5_990)))
    assert index.ntotal == 5_990
    assert learnt_from(index) != learnt_from(old.index)
