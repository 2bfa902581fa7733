"""Rules of who works where, without Ray."""

from orchestrator.backends.on_ray.dispatch import Ledger


def ledger(num_hosts, *ready):
    made = Ledger(num_hosts)
    made.ready.update(ready)
    return made


def test_no_host_is_chosen_before_one_is_ready():
    made = ledger(2)
    assert made.choose("m", limit=1) is None
    made.ready.add(1)
    assert made.choose("m", limit=1) == 1


def test_the_least_busy_host_below_the_limit_is_chosen():
    made = ledger(2, 0, 1)
    made.take("a", "m1", 0)
    assert made.choose("m2", limit=1) == 1
    made.take("b", "m2", 1)
    assert made.choose("m3", limit=1) is None
    assert made.choose("m3", limit=2) == 0
    made.release("b")
    assert made.choose("m3", limit=2) == 1


def test_work_on_one_model_goes_to_one_host_whatever_the_limit():
    made = ledger(2, 0, 1)
    made.take("a", "m", 1)
    assert made.choose("m", limit=1) == 1


def test_only_what_a_host_ran_is_blamed_for_its_death():
    made = ledger(2, 0, 1)
    made.take("running", "m1", 0)
    made.take("waiting", "m2", 0)
    assert made.lost("waiting") == (0, False)
    assert made.ready == {1}
    assert made.lost("running") == (None, True)
    assert made.lost("unknown") == (None, False)


def test_a_death_that_is_told_late_takes_no_new_life():
    made = ledger(1, 0)
    made.take("a", "m", 0)
    made.take("b", "m", 0)
    assert made.lost("a") == (0, True)
    made.ready.add(0)  # Ray has restarted it
    made.take("c", "m", 0)
    assert made.lost("b") == (None, False)
    assert made.ready == {0}
    assert made.lost("c") == (0, True)


def test_taking_again_replaces_the_lease_of_a_caller_that_died():
    made = ledger(2, 0, 1)
    made.take("a", "m1", 0)
    made.take("a", "m1", 1)
    assert made.choose("m2", limit=1) == 0


def test_it_is_hopeless_when_every_host_has_a_problem():
    made = ledger(2)
    made.problems[0] = "no such module"
    assert not made.hopeless()
    made.problems[1] = "no such module"
    assert made.hopeless()
