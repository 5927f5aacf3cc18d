"""Passwords: good enough, dear enough, and never more than two hashes at once."""

import sys
import threading
from typing import Any

import pytest
from argon2 import PasswordHasher

from novapulse.control import passwords
from novapulse.control.passwords import BusyError, Cost, Hasher, WeakPasswordError, check_strength
from novapulse.control.storage import ControlError

GOOD = "violet kettle seven"
SMALL = Cost(19_456, 2, 1)


def test_a_hash_is_argon2id_of_the_cost_and_fits_its_password_alone() -> None:
    hasher = Hasher(SMALL)
    hashed = hasher.hash(GOOD)
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert GOOD not in hashed
    assert hasher.matches(hashed, GOOD)
    assert not hasher.matches(hashed, GOOD + "x")
    assert not hasher.is_outdated(hashed)
    assert Hasher(Cost()).is_outdated(hashed)


def test_how_a_keyboard_composes_a_letter_does_not_matter() -> None:
    hasher = Hasher(SMALL)
    assert hasher.matches(hasher.hash("caf\u00e9 au lait noir"), "cafe\u0301 au lait noir")


def test_without_a_hash_nothing_fits_after_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    verified = PasswordHasher.verify
    made: list[str] = []

    def counted(self: PasswordHasher, hashed: str, password: str) -> bool:
        made.append(hashed.split("$")[3])
        return verified(self, hashed, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    hasher, older = Hasher(SMALL), Cost(19_457, 2, 1)
    kept = [hasher.hash(GOOD), Hasher(older).hash(GOOD), "a hash of something else"]
    assert not hasher.matches(None, "")
    assert not hasher.matches(None, GOOD)
    assert made == 2 * [SMALL.parameters], "of nobody, at the cost of now"
    for hashed, password, fits in (
        (None, GOOD, False),
        (kept[0], GOOD, True),
        (kept[1], GOOD, True),
        (kept[1], "x", False),
    ):
        made.clear()
        assert hasher.matches(hashed, password, kept) is fits
        assert made == [SMALL.parameters, older.parameters]
    assert not hasher.matches(kept[2], GOOD, kept)


def test_half_a_character_is_a_wrong_password_and_no_accident() -> None:
    hasher = Hasher(SMALL)
    assert not hasher.matches(hasher.hash(GOOD), "\ud800" * 20)


@pytest.mark.parametrize("cost", [(19_455, 2), (19_456, 1), (8, 100_000), (47_104, 0)])
def test_a_cost_below_the_floor_is_refused(cost: tuple[int, int]) -> None:
    with pytest.raises(ControlError, match="below the floor"):
        Cost(*cost)


WEAK = {
    "short": ("eleven char", "at least 12"),
    "endless": ("ab1 " * 65, "at most 256"),
    "on every list": ("Password1234", "on every list"),
    "on every list, with blanks": ("correct horse battery staple", "on every list"),
    "one letter": ("aaaaaaaaaaaaaaaa", "repeats itself"),
    "three letters": ("abcabcabcabcabc", "repeats itself"),
    "a run": ("efghijklmnopqrs", "repeats itself"),
    "the name": ("annabelle-annabelle", "little more than the name"),
}


@pytest.mark.parametrize(("password", "said"), WEAK.values(), ids=WEAK)
def test_a_weak_password_is_refused_without_being_repeated(password: str, said: str) -> None:
    with pytest.raises(WeakPasswordError, match=said) as refused:
        check_strength(password, "annabelle")
    assert password not in str(refused.value)


@pytest.mark.parametrize(
    "password", [GOOD, "x7!Qm2#Lp9zR", "ab1 " * 5 + "tail", "\u6f22" * 3 + "\u5b57\u4e00\u4e8c\u4e09" * 4]
)
def test_nothing_is_asked_of_characters_but_that_there_are_enough(password: str) -> None:
    check_strength(password, "annabelle")


def test_never_more_than_two_hashes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    two_and_this_test, go_on = threading.Barrier(3, timeout=30), threading.Event()

    class Library:
        def hash(self, password: str) -> str:
            two_and_this_test.wait()
            go_on.wait(30)
            return password

    def library(_cost: Cost) -> Any:
        return Library()

    monkeypatch.setattr(passwords, "_library", library)
    monkeypatch.setattr(passwords, "_PATIENCE_S", 0.0)
    threads = [threading.Thread(target=Hasher(SMALL).hash, args=(GOOD,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    two_and_this_test.wait()
    with pytest.raises(BusyError, match="too many people sign in"):
        Hasher(SMALL).hash(GOOD)
    go_on.set()
    for thread in threads:
        thread.join()


def test_where_the_library_is_missing_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "argon2", None)
    for call in (lambda: Hasher(SMALL).hash(GOOD), lambda: Hasher(SMALL).matches(None, GOOD)):
        with pytest.raises(ControlError, match="install novapulse"):
            call()
