"""The user's own scores."""

import numpy as np
import pytest

from components.models.scores import Scores
from engine.errors import DataError
from engine.protocols import Artefact, Table
from engine.universe import universe_of
from tests.make import bars, day

nan = np.nan


def table(*rows: tuple[int, int, float], **more) -> Table:
    """Rows of slice, symbol, score."""
    ts, symbol, value = (np.array(c) for c in zip(*rows, strict=True)) if rows else (np.empty(0),) * 3
    stamps = np.array([day(int(k)) for k in ts], np.int64)
    columns = {"score": value.astype(float)} | more
    return Table(path="mine.parquet", hash="h", ts=stamps, symbol=symbol.astype(int), columns=columns)


def answers(of: Table, slices: int, **options) -> list[list[float]]:
    model = Scores(table=of, universe=universe_of(("A", "B")), name="mine", **options)
    return [model.on_bars(bars(day(k), [1.0, 1.0])).value.tolist() for k in range(slices)]


def check(got, wanted):
    np.testing.assert_array_equal(np.array(got), np.array(wanted))


def test_a_slice_has_the_scores_of_its_own_instant_and_no_other():
    check(answers(table((0, 0, 0.1), (2, 1, 0.2), (2, 0, 0.3)), 4), [[0.1, nan], [nan, nan], [0.3, 0.2], [nan, nan]])


def test_stale_scores_are_carried_for_that_many_slices():
    of = table((0, 0, 0.1), (1, 1, 0.2), (4, 0, 0.5))
    check(answers(of, 6, stale=2), [[0.1, nan], [0.1, 0.2], [0.1, 0.2], [nan, 0.2], [0.5, nan], [0.5, nan]])


def test_rule_17_a_nan_in_the_table_is_no_new_score():
    check(answers(table((0, 0, 0.1), (1, 0, nan)), 3, stale=1), [[0.1, nan], [0.1, nan], [nan, nan]])


def test_rows_need_no_order():
    check(answers(table((2, 1, 0.2), (0, 0, 0.1), (2, 0, 0.3)), 3), [[0.1, nan], [nan, nan], [0.3, 0.2]])


def test_a_score_of_no_slice_is_never_used_and_a_later_one_never_early():
    of = table((0, 0, 0.1))
    late = Table(path=of.path, hash=of.hash, ts=of.ts + 1, symbol=of.symbol, columns=of.columns)
    check(answers(late, 2, stale=5), [[nan, nan], [nan, nan]])


def test_an_empty_table_has_no_opinion():
    check(answers(table(), 1), [[nan, nan]])


def test_the_column_must_be_named_where_there_are_several():
    of = table((0, 0, 0.1), other=np.array([0.9]))
    with pytest.raises(ValueError, match=r"2 columns \(score, other\); set `column`"):
        answers(of, 1)
    check(answers(of, 1, column="other"), [[0.9, nan]])
    with pytest.raises(ValueError, match="no column 'scroe'"):
        answers(of, 1, column="scroe")


def test_a_row_outside_the_universe_is_refused():
    with pytest.raises(DataError, match="outside the universe of 2"):
        answers(table((0, 2, 0.1)), 1)


@pytest.mark.parametrize(("option", "value"), [("stale", -1), ("horizon_ns", 0)])
def test_options_that_make_no_sense_are_refused(option, value):
    with pytest.raises(ValueError, match=option):
        answers(table((0, 0, 0.1)), 1, **{option: value})


def test_given_scores_take_no_artefact():
    model = Scores(table=table((0, 0, 0.1)), universe=universe_of(("A", "B")), name="mine")
    with pytest.raises(ValueError, match="takes no artefact"):
        model.swap(Artefact(hash="", files={}))


def test_the_table_is_not_changed():
    of = table((1, 1, 0.2), (0, 0, 0.1))
    for array in (of.ts, of.symbol, of.columns["score"]):
        array.flags.writeable = False
    answers(of, 3, stale=1)
