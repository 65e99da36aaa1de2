"""The ids a broker remembers."""

from components.brokers.resting import SeenIds


def test_the_latest_ids_are_remembered_and_the_oldest_batches_go():
    seen = SeenIds(10)
    for k in range(100):
        seen.add([3 * k, 3 * k + 1, 3 * k + 2])
    assert seen.among(list(range(290, 300))) == set(range(290, 300))
    assert seen.among([0]) == set()
    assert sum(map(len, seen.save())) < 10 + 3


def test_a_batch_larger_than_the_bound_is_kept_whole():
    seen = SeenIds(2)
    seen.add([1, 2, 3, 4])
    assert seen.among([4, 5]) == {4}


def test_saved_ids_come_back():
    seen, other = SeenIds(4), SeenIds(4)
    seen.add([1, 2])
    seen.add([3, 4, 5])
    other.load(seen.save())
    assert other.save() == seen.save()
    assert other.among([5, 6]) == {5}
