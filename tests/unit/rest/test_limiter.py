"""The limiter against a portal that counts as the vendor documents it: never refused, and close to what is allowed."""

from __future__ import annotations

import asyncio
import json
import math
import multiprocessing
import random
from pathlib import Path

import pytest

from encaja.rest.command import Command
from encaja.rest.limiter import Limiter, Limits, _Method
from support.fake_cloud import FakeCloud
from support.virtual_time import clock, run


@pytest.mark.parametrize(("rate", "burst"), [(2, 50), (5, 250)])
def test_requests_of_several_processes_use_nine_tenths_of_the_rate_and_are_never_refused(
    tmp_path: Path, rate: int, burst: int
) -> None:
    random.seed(6)
    cloud = FakeCloud(rate=rate, bucket=burst)
    cloud.methods["server.time"] = lambda _: "now"
    each, processes = 300, 4

    async def scene() -> float:
        portals = [cloud.portal(tmp_path, Limits(rate=rate, burst=burst)) for _ in range(processes)]
        began = clock()

        async def worker(number: int) -> None:
            for _ in range(each // 10):
                await asyncio.gather(*(portals[number].call("server.time") for _ in range(10)))

        await asyncio.gather(*(worker(number) for number in range(processes)))
        for portal in portals:
            await portal.close()
        return clock() - began

    seconds = run(scene())
    assert cloud.refusals == []
    assert len(cloud.log) == each * processes
    assert (each * processes - burst) / rate / seconds >= 0.9


def test_operating_time_is_used_to_nine_tenths_and_never_exceeded(tmp_path: Path) -> None:
    random.seed(6)
    cloud = FakeCloud(cost=0.4)
    cloud.methods["crm.deal.get"] = lambda p: p["id"]
    count = 5800  # 2,320 s of work, where 480 s are allowed in ten minutes

    async def scene() -> float:
        async with cloud.portal(tmp_path) as one, cloud.portal(tmp_path) as two:
            began = clock()
            commands = [Command("crm.deal.get", {"id": number}) for number in range(count)]
            halves = await asyncio.gather(one.batch(commands[: count // 2]), two.batch(commands[count // 2 :]))
            assert [int(answer.result) for half in halves for answer in half] == list(range(count))
            return clock() - began

    seconds = run(scene())
    assert cloud.refusals == []
    windows = math.ceil(count * 0.4 / (0.9 * 480))
    assert seconds < (windows - 1) * 600 + 60, "each window is used to nine tenths"


def test_one_method_that_has_to_wait_does_not_hold_up_another(tmp_path: Path) -> None:
    cloud = FakeCloud(cost=2.0)
    cloud.methods |= {"heavy": lambda _: 1, "light": lambda _: 2}

    async def scene() -> tuple[float, float]:
        async with cloud.portal(tmp_path) as portal:
            began = clock()

            async def timed(method: str) -> float:
                await portal.batch([Command(method)] * (400 if method == "heavy" else 20))
                return clock() - began

            return tuple(await asyncio.gather(timed("heavy"), timed("light")))  # type: ignore[return-value]

    heavy, light = run(scene())
    assert cloud.refusals == []
    assert heavy > 500 > 60 > light


def test_refusal_all_the_same_is_believed_until_the_portal_says(tmp_path: Path) -> None:
    async def scene() -> list[float]:
        limiter = Limiter("cloud.test", tmp_path, clock=clock)
        began = clock()
        limiter.refused()
        await limiter.turn()
        first = clock() - began
        block = {"operating": 481.0, "operating_reset_at": 1_000_120, "finish": 1_000_000.0}
        limiter.refused("m", block)
        await limiter.room({"m": 1})
        assert limiter.refusals == 2
        return [first, clock() - began]

    bucket, operating = run(scene())
    assert 0.4 < bucket < 1.0
    assert 120 <= operating < 130


def test_time_of_the_reset_is_read_on_the_portals_clock(tmp_path: Path) -> None:
    async def scene() -> float:
        limiter = Limiter("cloud.test", tmp_path, clock=clock)
        limiter.spent("m", {"operating": 479.0, "operating_reset_at": 5_000_000_030, "finish": 5_000_000_000.0})
        began = clock()
        await limiter.room({"m": 1})
        return clock() - began

    assert 30 <= run(scene()) < 35


def test_waiting_that_is_broken_off_gives_its_place_back(tmp_path: Path) -> None:
    async def scene() -> float:
        limiter = Limiter("cloud.test", tmp_path, Limits(burst=6), clock=clock)  # one of them is used
        await limiter.turn()
        waiting = [asyncio.create_task(limiter.turn()) for _ in range(20)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        began = clock()
        await limiter.turn()
        return clock() - began

    assert run(scene()) <= 0.5


def test_state_that_a_killed_process_left_half_written_is_taken_for_a_full_bucket(tmp_path: Path) -> None:
    async def scene() -> float:
        limiter = Limiter("cloud.test", tmp_path, clock=clock)
        await limiter.turn()
        (path,) = tmp_path.iterdir()
        path.write_text(path.read_text()[:-5])
        began = clock()
        await limiter.turn()
        return clock() - began

    assert run(scene()) == 0.5


def _take(folder: str, times: int) -> None:
    limiter = Limiter("cloud.test", Path(folder), Limits(rate=1e-9, burst=10**6), clock=lambda: 5.0)

    async def takes() -> None:
        for _ in range(times):
            await limiter.take({"m": 1})

    asyncio.run(takes())


def test_processes_share_one_bucket_and_lose_no_request(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_take, args=(str(tmp_path), 50)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    (path,) = tmp_path.iterdir()
    assert json.loads(path.read_text())["bucket"][0] == pytest.approx(200)
    assert path.stat().st_mode & 0o077 == 0


def test_without_a_folder_a_limiter_keeps_its_state_to_itself() -> None:
    async def scene() -> tuple[float, float]:
        first, second = (Limiter("cloud.test", None, Limits(1, 1, operating=0.0), clock=clock) for _ in range(2))
        for limiter in (first, first, second):
            await limiter.turn()
        return first.waited, second.waited

    assert run(scene()) == (1.0, 0.0)


def test_a_margin_is_kept_from_what_the_portal_allows() -> None:
    limits = Limits(rate=2, burst=50, operating=480)
    assert (limits.usable_burst, limits.usable_operating) == (45.0, pytest.approx(465.6))
    assert Limits(rate=2, burst=3).usable_burst == 1.0


def test_operating_time_within_the_margin_is_not_used(tmp_path: Path) -> None:
    async def scene() -> list[float]:
        waits = []
        for used in (460.0, 470.0):
            limiter = Limiter(f"{used}", tmp_path, clock=clock)
            limiter.spent("m", {"operating": used, "operating_reset_at": 1_000_100, "finish": 1_000_000.0})
            began = clock()
            await limiter.room({"m": 1})
            waits.append(clock() - began)
        return waits

    fits, waits = run(scene())
    assert fits == 0
    assert waits >= 100, "a call that begins below the limit may end above it"


def test_a_state_from_before_the_machine_was_restarted_is_taken_for_a_full_bucket(tmp_path: Path) -> None:
    async def scene() -> tuple[float, float]:
        limiter = Limiter("cloud.test", tmp_path, clock=clock)
        await limiter.turn()
        (path,) = tmp_path.iterdir()
        state = json.loads(path.read_text())
        began = clock()
        await limiter.turn()
        same = clock() - began
        path.write_text(json.dumps({**state, "boot": "an earlier one"}))
        await limiter.turn()
        return same, clock() - began

    assert run(scene()) == (0, 0.5), "its times are of another clock"


def test_each_portal_has_a_state_of_its_own(tmp_path: Path) -> None:
    async def scene() -> int:
        for address in ("cloud.test", "cloud.test.example", "box cloud.test"):
            await Limiter(address, tmp_path / "new" / "folder", clock=clock).turn()
        return len(list((tmp_path / "new" / "folder").iterdir()))

    assert run(scene()) == 3


def test_a_request_that_was_cut_off_gives_its_time_free(tmp_path: Path) -> None:
    async def scene() -> float:
        limiter = Limiter("cloud.test", tmp_path, Limits(operating=10), clock=clock)
        await limiter.room({"m": 4})  # reserved for what is expected; there is never an answer
        began = clock()
        await limiter.room({"m": 4})
        return clock() - began

    assert 180 <= run(scene()) < 182


def test_a_long_wait_is_told_with_what_is_waited_for_and_when_it_is_over(tmp_path: Path) -> None:
    told: list[str] = []

    async def scene() -> float:
        limiter = Limiter("cloud.test", tmp_path, clock=clock, on_wait=told.append)
        block = {"operating": 481.0, "operating_reset_at": 1_000_120, "finish": 1_000_000.0}
        limiter.refused("m", block)
        await limiter.room({"m": 1})
        return limiter.waited

    assert run(scene()) >= 120
    assert told[-1] == "" and len(told) >= 3
    assert all("operating time of cloud.test" in text for text in told[:-1])


def test_a_short_wait_is_not_told(tmp_path: Path) -> None:
    told: list[str] = []

    async def scene() -> None:
        limiter = Limiter("cloud.test", tmp_path, clock=clock, on_wait=told.append)
        limiter.refused("m", {"operating": 481.0, "operating_reset_at": 1_000_002, "finish": 1_000_000.0})
        await limiter.room({"m": 1})

    run(scene())
    assert told == []


def test_a_refusal_without_a_count_is_believed_for_a_minute(tmp_path: Path) -> None:
    async def scene() -> list[float]:
        limiter = Limiter("cloud.test", tmp_path, clock=clock)
        limiter.refused("m")
        began = clock()
        await limiter.room({"other": 1})
        other = clock() - began
        await limiter.room({"m": 1})
        return [other, clock() - began]

    other, refused = run(scene())
    assert (other, 60 <= refused < 61) == (0, True)


def test_an_older_answer_that_comes_late_does_not_take_back_what_is_known(tmp_path: Path) -> None:
    async def scene() -> float:
        limiter = Limiter("cloud.test", tmp_path, clock=clock)
        limiter.spent("m", {"operating": 479.0, "operating_reset_at": 1_000_030, "finish": 1_000_000.0})
        limiter.spent("m", {"operating": 1.0, "operating_reset_at": 1_000_030, "finish": 999_999.0})
        began = clock()
        await limiter.room({"m": 1})
        return clock() - began

    assert run(scene()) >= 30


def test_without_a_limit_of_operating_time_nothing_is_counted(tmp_path: Path) -> None:
    async def scene() -> float:
        limiter = Limiter("box", tmp_path, Limits(operating=0.0), clock=clock)
        limiter.spent("m", {"operating": 479.0, "operating_reset_at": 1_000_030, "finish": 1_000_000.0})
        await limiter.room({"m": 10_000})
        return limiter.waited

    assert run(scene()) == 0
    assert list(tmp_path.iterdir()) == []


def block(operating: float, *, reset: float | None = 1_000_100, finish: float = 1_000_000.0) -> dict[str, float]:
    return {"operating": operating, "finish": finish} | ({} if reset is None else {"operating_reset_at": reset})


def test_what_others_used_before_expires_when_the_portal_says_and_ones_own_after_the_window() -> None:
    method = _Method()
    method.learn(50.0, block(30.0))
    assert method.baskets == {str(1_000_000 // 60): [151.0, 30.0]}
    assert (method.answers, method.seconds) == (0, 0), "what came before is no measure of a command"
    method.learn(60.0, block(42.0, reset=1_000_160, finish=1_000_060.0))
    assert method.baskets[str(1_000_060 // 60)] == [60.0 + 600 + 1, 12.0]
    assert (method.answers, method.seconds, method.used) == (1, 12.0, 42.0)
    method.expire(151.0)
    assert method.used == 12.0, "the oldest is gone at its time"


def test_the_portals_smaller_count_takes_from_the_oldest_first() -> None:
    method = _Method(baskets={"1": [100.0, 10.0], "2": [200.0, 10.0], "3": [300.0, 10.0]}, heard=1.0)
    method.learn(50.0, block(12.0, reset=None, finish=2.0))
    assert {minute: seconds for minute, (_, seconds) in method.baskets.items()} == {"1": 0.0, "2": 2.0, "3": 10.0}


def test_a_block_without_its_reset_is_taken_for_the_whole_window() -> None:
    method = _Method()
    method.learn(50.0, block(30.0, reset=None))
    [(expiry, _)] = method.baskets.values()
    assert expiry == 50.0 + 600 + 1
    other = _Method()
    other.learn(50.0, {"operating": 30.0, "operating_reset_at": 1_000_100})
    [(expiry, _)] = other.baskets.values()
    assert expiry == 50.0 + 600 + 1, "without the portal's time its reset says nothing"


def test_an_earlier_reset_brings_the_oldest_forward_and_a_later_one_does_not() -> None:
    method = _Method(baskets={"1": [500.0, 10.0], "2": [600.0, 1.0]}, heard=1.0)
    method.learn(50.0, block(11.0, reset=1_000_020))
    assert method.baskets["1"][0] == 50 + 20 + 1
    method.learn(51.0, block(11.0, reset=1_000_590, finish=1_000_001.0))
    assert (method.baskets["1"][0], method.baskets["2"][0]) == (71, 600.0)


def test_what_a_command_costs_is_learnt_and_the_newest_count_most() -> None:
    method = _Method()
    assert method.cost == pytest.approx(2.1), "a second, and half as much again for not knowing"
    method.learn(0.0, block(0.0, finish=1.0))
    for number in range(1, 400):
        method.learn(0.0, block(2.0 * number, finish=1.0 + number))
        method.baskets.clear()
        method.baskets["x"] = [1e9, 2.0 * number]
    assert method.answers <= 201
    assert method.cost == pytest.approx(2.2, rel=0.02)


def test_whether_commands_fit_is_asked_of_what_is_used_and_under_way() -> None:
    def wait(used: float, pending: float, commands: int) -> float:
        method = _Method(baskets={"1": [130.0, used]} if used else {}, answers=9.0, seconds=9.0)  # a command costs 1.2
        method.pending = [[1000.0, pending]] if pending else []
        return method.wait(100.0, commands, 12.0)

    assert method_cost() == pytest.approx(1.2)
    assert wait(0.0, 0, 10) == 0
    assert wait(0.0, 0, 11) == 0, "it never fits as a whole, and there is nothing to wait for"
    assert wait(6.0, 0, 5) == 0 and wait(6.0, 0, 6) == 30.0
    assert wait(6.0, 0, 11) == 0, "it never fits: it is sent while one fits"
    assert wait(11.0, 0, 11) == 30.0
    assert wait(6.0, 3, 2) == 0 and wait(6.0, 3, 3) == 0.2, "answers under way may change the count"
    assert wait(6.0, 3, 6) == 30.0
    assert wait(0.0, 10, 1) == 0.2
    assert wait(0.0, 10, 11) == 1.0, "there is no basket to wait for"


def method_cost() -> float:
    return _Method(answers=9.0, seconds=9.0).cost


def test_an_answer_frees_the_place_of_one_command() -> None:
    method = _Method(pending=[[180.0, 2.0], [190.0, 1.0]])
    method.answered()
    assert method.pending == [[180.0, 1.0], [190.0, 1.0]]
    method.answered()
    assert method.pending == [[190.0, 1.0]]
    method.answered()
    method.answered()
    assert method.pending == []
    late = _Method(pending=[[180.0, 2.0], [190.0, 1.0]])
    late.expire(180.0)
    assert late.pending == [[190.0, 1.0]]


def test_limits_are_of_a_method_and_a_request_needs_room_for_all_of_its_own(tmp_path: Path) -> None:
    async def scene() -> list[float]:
        limiter = Limiter("cloud.test", tmp_path, clock=clock)
        limiter.learned([("full", block(470.0, reset=1_000_050)), ("free", block(1.0))])
        began = clock()
        await limiter.take({"free": 3})
        free = clock() - began
        await limiter.take({"free": 1, "full": 1})
        return [free, clock() - began]

    free, both = run(scene())
    assert (free, 50 <= both < 53) == (0, True)
