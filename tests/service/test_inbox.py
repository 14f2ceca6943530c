"""The inbox of a stream holds so much, and no more."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aasist.service.stream.dialects import Audio
from aasist.service.stream.inbox import MOST_PIECES, Inbox


def test_who_puts_waits_while_there_is_no_room():
    async def run() -> None:
        inbox = Inbox(10)
        await inbox.put(Audio(bytes(10)))
        second = asyncio.create_task(inbox.put(Audio(bytes(1))))
        await asyncio.sleep(0.02)
        assert not second.done()
        assert inbox.waiting_bytes == 10
        assert (await inbox.take(100))[1] == [Audio(bytes(10))]
        await second
        assert inbox.waiting_bytes == 1

    asyncio.run(run())


def test_a_piece_larger_than_all_room_is_let_in_alone():
    async def run() -> None:
        inbox = Inbox(10)
        await inbox.put(Audio(bytes(50)))
        assert (await inbox.take(20))[1] == [Audio(bytes(50))]

    asyncio.run(run())


def test_pieces_of_nothing_do_not_pile_up_either():
    async def run() -> None:
        inbox = Inbox(10)
        for _ in range(MOST_PIECES):
            await inbox.put(Audio(b""))
        another = asyncio.create_task(inbox.put(Audio(b"")))
        await asyncio.sleep(0.02)
        assert not another.done()
        assert len((await inbox.take(1))[1]) == MOST_PIECES
        await another

    asyncio.run(run())


def test_what_came_before_the_end_is_taken_first_and_then_nothing():
    async def run() -> None:
        inbox = Inbox(10)
        await inbox.put(Audio(b"a"))
        inbox.end()
        assert (await inbox.take(5))[1] == [Audio(b"a")]
        assert (await inbox.take(5))[1] == []

    asyncio.run(run())


def test_a_failure_is_raised_at_once_whatever_waits():
    async def run() -> None:
        inbox = Inbox(10)
        await inbox.put(Audio(b"a"))
        taking = asyncio.create_task(inbox.take(5))
        inbox.fail(ConnectionError("gone"))
        with pytest.raises(ConnectionError, match="gone"):
            await taking

    asyncio.run(run())


@given(
    sizes=st.lists(st.integers(0, 12), max_size=30), room=st.integers(1, 20), most=st.integers(1, 20)
)  # fmt: skip
def test_everything_comes_out_once_in_order_and_no_more_waits_than_there_is_room_for(sizes, room, most):
    pieces = [Audio(bytes([number]) * size) for number, size in enumerate(sizes)]

    async def run() -> list[Audio]:
        inbox = Inbox(room)
        largest = 0

        async def fill() -> None:
            nonlocal largest
            for piece in pieces:
                await inbox.put(piece)
                largest = max(largest, inbox.waiting_bytes)
            inbox.end()

        filling = asyncio.create_task(fill())
        taken: list[Audio] = []
        while several := (await inbox.take(most))[1]:
            assert len(several) == 1 or sum(len(piece.data) for piece in several) <= most
            taken += several
        await filling
        assert largest <= max([room, *sizes])
        return taken

    assert asyncio.run(run()) == pieces
