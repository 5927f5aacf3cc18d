"""The slider that plays: what the page writes is brought into the range before it is shown."""

from novapulse.ui.notebooks.player import Player


def test_every_move_is_shown_and_none_beyond_the_ends():
    player, shown = Player(count=5), []

    def show(at: int) -> str:
        shown.append(at)
        return f"book {at}"

    player.on_move(show)
    for at in (3, 99, -4):
        player.at = at
    assert shown == [0, 3, 4, 0]
    assert player.label == "book 0"
