"""The champion changes whole or not at all, whoever is killed, late, or away."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field

import pytest

from stages.registry import log, wear
from stages.registry.decision import Criterion, Decision
from stages.registry.log import Entry, Model
from stages.registry.promote import note_rollback, one_at_a_time, promote, rollback, settle
from stages.shared.core.errors import UserError
from stages.shared.tracking.aliases import Version


class Killed(BaseException):
    """As SIGKILL: nothing catches it."""


@dataclass
class Memory:
    """A registry in memory; dies before its `dies_at`-th write."""

    name: str = "chest"
    aliases: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    dies_at: int = 99
    writes: int = 0

    def alias(self, alias):
        return self.version(self.aliases[alias]) if alias in self.aliases else None

    def version(self, number):
        return Version(number, f"net-plan-sample{number}", f"digest{number}")

    def point(self, alias, number):
        self.write()
        self.aliases[alias] = number

    def forget(self, alias):
        self.write()
        del self.aliases[alias]

    def tag(self, number, tag, value):
        self.write()
        self.tags[number] = value

    def write(self):
        self.writes += 1
        if self.writes == self.dies_at:
            raise Killed


def decision(number, champion=None, verdict="promote"):
    """Of a candidate that becomes version `number`."""
    return Decision(
        name="chest", verdict=verdict, reason="It passes.", candidate=Model(key=f"net-plan-sample{number}", digest=f"digest{number}"),
        champion=Model(key="k", digest=f"digest{champion}", version=champion) if champion else None, metric="auroc",
        criteria=[Criterion(name="AUROC", answer="pass", sentence="Good.")], notes=[],
        test=wear.described([("a", "sick")], 1), judged={}, dropped={}, wear=wear.Wear(exact=0, similar=0, passes_by_luck=0.05),
        settings={}, rules="rules",
    )  # fmt: skip


def put(registry, number, champion=None, **more):
    return promote(registry, decision(number, champion), lambda: registry.version(number), **more)


@pytest.fixture
def two(workspace):
    """Version 2 is champion, 1 the previous one."""
    registry = Memory()
    put(registry, "1")
    put(registry, "2", champion="1")
    assert registry.aliases == {"champion": "2", "previous": "1"}
    return registry


def states():
    return [(entry.event, entry.state) for entry in log.read("chest")]


def test_the_log_tells_who_replaced_whom_and_why(two):
    first, second = log.changes(log.read("chest"))
    assert (first.champion, second.champion.version, second.candidate.version) == (None, "1", "2")
    assert second.reason == "It passes."
    assert second.who
    assert len(log.lines(log.read("chest"))) == 2


@pytest.mark.parametrize("dies_at", [1, 2], ids=["before previous", "between the two"])
def test_a_promotion_that_was_killed_leaves_the_old_champion_and_the_next_command_finishes_it(two, dies_at):
    two.dies_at, two.writes = dies_at, 0
    with pytest.raises(Killed):
        put(two, "3", champion="2")
    assert two.aliases["champion"] == "2"
    with one_at_a_time("chest"):
        (line,) = settle(two)
    assert "Finished the promote to version 3" in line
    assert two.aliases == {"champion": "3", "previous": "2"}
    assert states()[-1] == ("promote", "done")
    assert settle(two) == []


def test_a_promotion_that_was_killed_is_not_finished_over_somebody_elses_champion(two):
    two.dies_at, two.writes = 2, 0
    with pytest.raises(Killed):
        put(two, "3", champion="2")
    two.aliases["champion"] = "7"
    assert "Abandoned" in settle(two)[0]
    assert two.aliases["champion"] == "7"
    assert states()[-1] == ("promote", "abandoned")


def test_of_two_promotions_at_once_one_wins_and_the_other_refuses(two):
    """Both were judged against version 2."""
    start, results = threading.Barrier(2), {}

    def run(number):
        start.wait()
        try:
            results[number] = put(two, number, champion="2").number
        except UserError as error:
            results[number] = str(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in ("3", "4")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [number for number, result in results.items() if result == number]
    loser = "4" if winner == "3" else "3"
    assert f"was judged against version 2, and the champion is version {winner} now" in results[loser]
    assert two.aliases == {"champion": winner, "previous": "2"}


def test_what_another_machine_writes_at_the_same_moment_is_noticed(two):
    class Raced(Memory):
        def point(self, alias, number):
            super().point(alias, "9" if alias == "champion" else number)

    raced = Raced(aliases=dict(two.aliases))
    with pytest.raises(UserError, match="version 3 was made champion, and now it is version 9: another machine"):
        put(raced, "3", champion="2")
    assert states()[-1] == ("promote", "abandoned")


def test_promoting_the_champion_again_changes_nothing(two):
    before = log.path().read_bytes()
    assert put(two, "2", champion="1").number == "2"
    assert (two.aliases, log.path().read_bytes()) == ({"champion": "2", "previous": "1"}, before)


def test_a_verdict_is_overruled_only_with_a_reason_which_the_log_keeps(two):
    undecided = decision("3", champion="2", verdict="undecided")
    with pytest.raises(UserError, match="the gate says undecided"):
        promote(two, undecided, lambda: two.version("3"))
    promote(two, undecided, lambda: two.version("3"), anyway="the board decided")
    assert log.changes(log.read("chest"))[-1].reason == "the board decided"
    assert log.changes(log.read("chest"))[-1].verdict == "undecided"


def test_a_challenger_that_becomes_champion_is_no_challenger_any_more(two):
    two.aliases["challenger"] = "3"
    put(two, "3", champion="2")
    assert two.aliases == {"champion": "3", "previous": "2"}


def test_rolling_back_twice_is_the_same_as_once(two):
    champion, changed = rollback(two, why="misses pneumothorax")
    assert (champion.number, changed) == ("1", True)
    after, lines = dict(two.aliases), log.path().read_bytes()
    assert rollback(two) == (two.version("1"), False)
    assert (two.aliases, log.path().read_bytes()) == (after, lines)
    assert after["champion"] == "1"
    assert two.tags["2"].endswith("misses pneumothorax")


def test_a_rollback_goes_to_any_version_that_is_asked_for(two):
    put(two, "3", champion="2")
    rollback(two, to="1")
    assert two.aliases == {"champion": "1", "previous": "2"}
    rollback(two, to="3")
    assert two.aliases["champion"] == "3"


def backed():
    return set(log.rolled_back(log.changes(log.read("chest"))))


def test_going_forward_again_says_nothing_against_the_version_in_between(two):
    rollback(two, why="too slow")
    assert backed() == {"digest2"}
    rollback(two, to="2", why="it was the network")
    assert backed() == set()
    assert set(two.tags) == {"2"}
    put(two, "3", champion="2")
    rollback(two, why="misses effusions")
    put(two, "4", champion="2")
    rollback(two)
    assert backed() == {"digest3", "digest4"}  # both were bad
    put(two, "3", champion="2", anyway="trained again by hand")
    assert backed() == {"digest4"}


def test_an_old_verdict_does_not_bring_in_again_what_was_rolled_back_since(two):
    rollback(two, why="misses effusions")
    before = log.path().read_bytes()
    with pytest.raises(UserError, match=r"rolled back on .* misses effusions. .*rollback --to 2"):
        put(two, "2", champion="1")
    assert (two.aliases["champion"], log.path().read_bytes()) == ("1", before)
    assert put(two, "2", champion="1", anyway="the effusions were artefacts").number == "2"
    assert backed() == set()


def test_a_line_of_an_earlier_version_that_called_temporary_passing_is_read(two):
    with log.path().open("a") as file:
        file.write(log.path().read_text().splitlines()[0].replace('"name"', '"passing": true, "name"') + "\n")
    assert [entry.temporary for entry in log.read("chest")] == [False] * 4 + [True]
    log.append(log.stamped(event="gate", state="decided", name="chest", temporary=True))
    assert '"temporary": true' in log.path().read_text().splitlines()[-1]
    assert log.read("chest")[-1].temporary


def test_a_rollback_says_which_change_it_finished_first(two, capsys):
    two.dies_at, two.writes = 2, 0
    with pytest.raises(Killed):
        put(two, "3", champion="2")
    champion, changed = rollback(two)
    assert (champion.number, changed) == ("2", True)
    assert "Finished the promote to version 3" in capsys.readouterr().err


def test_the_log_goes_on_where_an_edit_left_the_last_line_without_an_end(two):
    text = log.path().read_text()
    log.path().write_text(text.rstrip("\n"))
    put(two, "3", champion="2")
    assert log.path().read_text().startswith(text)
    assert len(states()) == 6


def test_there_is_nothing_before_the_first_champion(workspace):
    registry = Memory()
    with pytest.raises(UserError, match="no champion"):
        rollback(registry)
    put(registry, "1")
    with pytest.raises(UserError, match="is the first champion"):
        rollback(registry)


def test_a_rollback_without_a_server_is_noted_once_and_made_by_the_next_command(two):
    target, news = note_rollback("chest", why="server away")
    assert (target.version, news) == ("1", True)
    assert note_rollback("chest") == (target, False)
    assert two.aliases["champion"] == "2"
    assert "not in effect yet" in log.lines(log.read("chest"))[-1]
    assert "Finished the rollback to version 1" in settle(two)[0]
    assert two.aliases == {"champion": "1", "previous": "1"}


def test_without_a_server_and_without_a_log_there_is_nowhere_to_go(workspace):
    with pytest.raises(UserError, match="knows no champion to go back to"):
        note_rollback("chest")


def test_a_damaged_line_of_the_log_is_named(two):
    with log.path().open("a") as file:
        file.write('{"event": "promote"')
    with pytest.raises(UserError, match="line 5 is no entry"):
        log.read("chest")


def test_the_log_names_no_patient_and_no_image(two):
    for line in log.path().read_text().splitlines():
        assert set(json.loads(line)) <= set(Entry.model_fields)
        assert "images/" not in line


def gated(candidate, champion, images, patients=10):
    return log.stamped(
        event="gate", state="decided", name="chest", verdict="reject", candidate=Model(key="k", digest=candidate),
        champion=Model(key="k", digest=champion, version="1"), test=wear.described(images, patients),
    )  # fmt: skip


def test_wear_counts_the_pairs_that_these_images_or_most_of_them_have_judged(workspace):
    def images(start, stop):
        return [(f"image{i}", "sick") for i in range(start, stop)]

    today = wear.described(images(0, 1000), 10)
    entries = [
        gated("a", "x", images(0, 1000)), gated("a", "x", images(0, 1000)),  # the same question twice
        gated("b", "x", images(0, 1000)), gated("c", "x", images(100, 1000)),  # nearly these images
        gated("d", "x", images(900, 2000)),  # mostly others
        gated("new", "x", images(0, 1000)),  # the pair that is judged now
    ]  # fmt: skip
    own = wear.wear(entries, today, wear.Pair("new", "x"), alpha=0.05)
    assert (own.exact, own.similar) == (2, 1)
    assert own.passes_by_luck == pytest.approx(0.2)


def test_the_share_of_images_that_two_sets_have_in_common_is_estimated_well(workspace):
    for shared in (0.2, 0.5, 0.9):
        earlier = wear.described([(f"image{i}", "sick") for i in range(5000)], 10)
        start = int(5000 * (1 - shared))
        today = wear.described([(f"image{i}", "sick") for i in range(start, start + 5000)], 10)
        assert wear.shared(today, earlier) == pytest.approx(shared, abs=0.15)
