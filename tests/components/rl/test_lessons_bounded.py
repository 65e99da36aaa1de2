"""A teacher's lessons take no more at once than an update does, and nothing once they are over."""

from typing import Any

import numpy as np
import pytest

from components.rl.teacher import Hindsight
from components.rl.trainer import Told, Training
from components.rl.trainer_budget import bill_of
from components.rl.trainer_chance import own_chance
from components.rl.trainer_options import Course, Ppo, Teacher, TrainedTeacher
from tests.components.rl.test_student import COURSE, ROWS, arena, change, change_teacher, taught

BATCH = 48


def test_the_network_goes_over_no_more_rows_at_once_than_in_an_update(monkeypatch: pytest.MonkeyPatch) -> None:
    from components.rl import trainer_student

    said, asked = trainer_student._log_chances, []

    def counted(policy: Any, observations: Any, rows: Any) -> Any:
        found = said(policy, observations, rows)
        asked.append(len(found))
        return found

    monkeypatch.setattr(trainer_student, "_log_chances", counted)
    course = change(COURSE, algorithm=Ppo(lr=3e-3, epochs=1, batch=BATCH), teacher=change_teacher(fades=0.0))
    with own_chance():
        training = Training(course, arena(), Told())
        training.begin(None)
        training._learner.collect()
        lessons = training._learner._lessons
        assert lessons is not None
        chances, good = (trainer_student.in_order(each) for each in (lessons._chances, lessons._good))
        found = training._learner.update()
        one = training._learner.algorithm
        log = said(one.policy, one.rollout_buffer.observations, slice(None)).detach().numpy()
    assert len(log) == ROWS * 8
    assert max(asked) == BATCH
    matters = ~good.all(axis=1)
    known = np.log(np.where(chances > 0, chances, 1.0))
    kl = (chances * (known - log)).sum(axis=1)[matters].mean()
    assert found["teacher_kl"] == pytest.approx(kl, rel=1e-6)


def test_it_is_not_asked_once_nothing_is_taught(monkeypatch: pytest.MonkeyPatch) -> None:
    said, asked = Hindsight.worths, []

    def counted(self: Hindsight, *args: Any) -> Any:
        asked.append(1)
        return said(self, *args)

    monkeypatch.setattr(Hindsight, "worths", counted)
    figures = taught(change(COURSE, steps=8 * ROWS * 8), arena())[1]
    assert len(asked) == 4 * 8  # of the first half of the budget alone
    last = {m.name: m.value for m in figures if m.step == 7}
    assert last["teacher_weight"] == 0.0
    assert not {"teacher_kl", "teacher_agreement"} & last.keys()


@pytest.mark.parametrize("teacher", [Teacher(), TrainedTeacher(steps=10**6)])
def test_a_plan_says_what_is_kept_of_what_a_teacher_says(teacher: Teacher | TrainedTeacher) -> None:
    """Chances and which are the best, of each choice of each step: more of both is more."""
    few, many = (
        bill_of(Course(steps=10**7, rows=rows, teacher=teacher), 8, {"now": (10,)}, 11).teacher_mb
        for rows in (256, 2560)
    )
    assert many - few == pytest.approx((2560 - 256) * 8 * 11 * 22 / 2**20)
