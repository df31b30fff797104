"""Shards moved between a store's backends: off one that is to go, or to where placement wants them.

A plan comes first, and nothing moves that would leave less to survive unless it is forced. The
backend is marked as draining before the first shard moves, so nobody puts a new one there; what
was moved is recorded shard by shard, so an interrupted run is gone on with by running it again.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import trio

from .cas.capacity import count_use
from .cas.journal.journal import Journal
from .cas.locks import locked
from .cas.packs.members import Members
from .cas.progress import Progress
from .cas.store import Store
from .cas.verify.copycheck import check_copies
from .cas.verify.movereport import MovePlan, MoveReport
from .cas.verify.moving import Goal, Moving
from .cas.verify.report import VerifyReport
from .config import read_config
from .errors import BusyError, one_failure
from .marking import DRAINING, announce
from .opening import open_store
from .storeconfig import BackendConfig, StoreConfig


@dataclass(frozen=True, slots=True)
class MoveRequest:
    """How shards are moved: `force` lets less survive, `dry_run` moves nothing, `rate` is bytes a
    second read and written; `announce` hears of the plan before anything moves."""

    force: bool = False
    dry_run: bool = False
    rate: float | None = None
    wait: bool = True
    announce: Callable[[MovePlan], None] = lambda _plan: None


@dataclass(frozen=True, slots=True)
class Moved:
    """What came of it. `left` counts shards that stay on the backend; `survives` is one line."""

    plan: MovePlan
    report: MoveReport
    left: int
    survives: str


async def drain_backend(
    path: str, name: str, request: MoveRequest, progress: Progress | None = None
) -> Moved:
    """Move every shard off the backend `name`, which gets no new ones from now on.

    NotFoundError where there is none of that name, BusyError where it is the only one, or less
    would survive without it and that is not forced.
    """
    config = await trio.to_thread.run_sync(read_config, path)
    with one_failure():
        return await _drain(path, find_backend(config, name), request, progress or Progress())


async def _drain(
    path: str, leaving: BackendConfig, request: MoveRequest, progress: Progress
) -> Moved:
    goal = Goal(leaving.id, request.force)
    async with open_store(path, wait=request.wait) as store:
        moving = Moving(store.index, store.pool, store.scheme)
        await count_use(store.index, store.members)
        plan = await trio.to_thread.run_sync(moving.plan, goal)
        request.announce(plan)
        if request.dry_run:
            return await _done(store, plan, MoveReport(), moving, leaving)
        if not request.force:
            _refuse(plan, leaving.name)
        async with store.access.moving("modelfloat backend drain") as journal:
            # Somebody who moved shards while we waited for the lock may have left less room.
            plan = await trio.to_thread.run_sync(moving.plan, goal)
            if not request.force:
                _refuse(plan, leaving.name)
            await mark(path, leaving, DRAINING, wait=request.wait)
            await store.members.refresh()
            progress.total += plan.bytes
            report = await moving.run(goal, journal, progress, request.rate)
            await _keep_records(store, leaving, journal)
        return await _done(store, plan, report, moving, leaving)


async def rebalance(path: str, request: MoveRequest, progress: Progress | None = None) -> Moved:
    """Move shards to where placement would lay them today, and no others."""
    with one_failure():
        return await _rebalance(path, request, progress or Progress())


async def _rebalance(path: str, request: MoveRequest, progress: Progress) -> Moved:
    async with open_store(path, wait=request.wait) as store:
        moving, goal = Moving(store.index, store.pool, store.scheme), Goal()
        await count_use(store.index, store.members)
        plan = await trio.to_thread.run_sync(moving.plan, goal)
        request.announce(plan)
        report = MoveReport()
        if not request.dry_run:
            what = "modelfloat backend rebalance"
            async with store.access.moving(what) as journal:
                progress.total += plan.bytes
                report = await moving.run(goal, journal, progress, request.rate)
        return await _done(store, plan, report, moving, None)


async def stop_draining(path: str, name: str, *, wait: bool = True) -> None:
    """Let the backend `name` get new shards again; NotFoundError where there is none of that
    name."""
    config = await trio.to_thread.run_sync(read_config, path)
    await mark(path, find_backend(config, name), None, wait=wait)


async def mark(path: str, backend: BackendConfig, state: str | None, *, wait: bool = True) -> None:
    """Decide the state of a backend in the store's configuration, and tell other folders by its
    marker; None is none decided."""
    async with locked(os.path.join(path, "locks", "config"), wait=wait, what="backend drain"):
        config = await trio.to_thread.run_sync(read_config, path)
        changed = tuple(
            replace(each, state=state) if each.id == backend.id else each
            for each in config.backends
        )
        back = () if state == DRAINING else (backend.id,)
        await announce(path, replace(config, backends=changed), back=back)


def find_backend(config: StoreConfig, name: str) -> BackendConfig:
    """The backend of that name, if it is not the only one; NotFoundError, BusyError."""
    found = config.backend(name)
    if len(config.backends) == 1:
        raise BusyError(
            f"{name} is the store's only backend; add another one first, with "
            "`modelfloat backend add`"
        )
    return found


def _refuse(plan: MovePlan, name: str) -> None:
    """BusyError where what is stored would survive less."""
    if plan.stuck:
        raise BusyError(
            f"{plan.stuck:,} shards on {name} have no place on the others; add a backend first, "
            "or say --force to crowd them"
        )
    if plan.worse and plan.shards:
        raise BusyError(
            f"without {name} less would survive (now: {plan.survives}; then: "
            f"{plan.will_survive}); add a backend first, or say --force"
        )


async def _keep_records(store: Store, leaving: BackendConfig, journal: Journal) -> None:
    """Put the copies of journal records that lie on `leaving` where they go without it."""
    left = [m for m in store.members if m.id != leaving.id]
    others = Members(store.id, left, store.members.cipher)
    found = VerifyReport()
    with one_failure():
        await check_copies(store.index, others, store.scheme.m + 1, found, journal.keep)


async def _done(
    store: Store, plan: MovePlan, report: MoveReport, moving: Moving, leaving: BackendConfig | None
) -> Moved:
    left = 0
    if leaving is not None:
        left = await trio.to_thread.run_sync(partial(moving.left_on, leaving.id))
    return Moved(plan, report, left, await store.survives())
