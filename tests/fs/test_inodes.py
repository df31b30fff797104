"""Inode numbers: what they depend on, what collisions do, when they are forgotten."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfloat.fuse.inodes import ROOT, Inodes
from modelfloat.fuse.nodes import DirectoryNode, FileNode, LinkNode, RootNode, VendorNode
from modelfloat.ids import Inode, ObjectId

LARGEST = (1 << 63) - 1
DIRECTORY = DirectoryNode("acme/llama", ObjectId(bytes(32)), (b"a", b"b"), ObjectId(bytes(32)), 5)
FILE = FileNode(ObjectId(b"m" * 32), 0o644, 7, 100, DIRECTORY, b"model")


def vendors(count: int) -> list[VendorNode]:
    return [VendorNode(f"vendor{i}") for i in range(count)]


def test_numbers_fit_63_bits_and_leave_the_root_alone() -> None:
    inodes = Inodes()
    for node in [FILE, DIRECTORY, LinkNode(b"x", 1), *vendors(100)]:
        assert ROOT < inodes.remember(node) <= LARGEST
    assert len(inodes) == 103


def test_numbers_are_the_same_in_every_mount() -> None:
    assert Inodes().remember(FILE) == Inodes().remember(FILE)


@pytest.mark.parametrize(
    "other",
    [
        replace(FILE, manifest=ObjectId(b"n" * 32)),
        replace(FILE, mode=0o755),
        replace(FILE, mtime_ns=8),
    ],
)
def test_a_file_is_its_manifest_mode_and_time(other: FileNode) -> None:
    assert Inodes().number(other) != Inodes().number(FILE)


def test_a_file_keeps_its_inode_wherever_it_stands() -> None:
    elsewhere = replace(FILE, directory=replace(DIRECTORY, place="acme/llama@v1"), name=b"copy")
    assert Inodes().number(elsewhere) == Inodes().number(FILE)


@pytest.mark.parametrize(
    "other",
    [
        replace(DIRECTORY, place="other/llama"),
        replace(DIRECTORY, place="acme/llama@v1"),
        replace(DIRECTORY, commit=ObjectId(b"c" * 32)),
        replace(DIRECTORY, path=(b"a",)),
        replace(DIRECTORY, path=(b"ab",)),
    ],
)
def test_a_directory_is_its_place_and_commit(other: DirectoryNode) -> None:
    assert Inodes().number(other) != Inodes().number(DIRECTORY)


def test_a_number_that_is_asked_for_is_not_kept() -> None:
    inodes = Inodes()
    number = inodes.number(FILE)
    assert len(inodes) == 0
    assert inodes.node(number) is None
    assert inodes.remember(FILE) == number
    assert inodes.node(number) == FILE


def test_the_root_is_always_known() -> None:
    inodes = Inodes()
    inodes.forget([(ROOT, 1000)])
    assert inodes.node(ROOT) == RootNode()


def test_collisions_take_the_next_free_number() -> None:
    inodes = Inodes(first=lambda _digest: 77)
    numbers = [inodes.remember(node) for node in vendors(3)]
    assert numbers == [77, 78, 79]
    assert [inodes.node(number) for number in numbers] == vendors(3)
    assert inodes.number(vendors(4)[3]) == 80


def test_a_collided_inode_keeps_its_number_when_the_other_goes() -> None:
    inodes = Inodes(first=lambda _digest: 77)
    first, second = vendors(2)
    inodes.remember(first)
    assert inodes.remember(second) == 78
    inodes.forget([(Inode(77), 1)])
    assert inodes.remember(second) == 78
    assert inodes.remember(first) == 77


def test_probing_goes_round_past_the_reserved_numbers() -> None:
    inodes = Inodes(first=lambda _digest: LARGEST)
    assert [inodes.remember(node) for node in vendors(3)] == [LARGEST, 2, 3]
    assert Inodes(first=lambda _digest: 0).remember(FILE) == 2


def test_an_inode_goes_with_its_last_lookup() -> None:
    inodes = Inodes()
    number = inodes.remember(FILE)
    inodes.remember(FILE)
    inodes.forget([(number, 1)])
    assert inodes.node(number) == FILE
    inodes.forget([(number, 1)])
    assert inodes.node(number) is None
    assert len(inodes) == 0
    inodes.forget([(number, 1)])
    assert len(inodes) == 0


@given(st.lists(st.integers(0, 4), max_size=60), st.integers(2, 6))
def test_counts_balance_whatever_collides(order: list[int], spread: int) -> None:
    inodes = Inodes(first=lambda digest: 2 + digest[0] % spread)
    nodes = vendors(5)
    given_out = [(inodes.remember(nodes[i]), nodes[i]) for i in order]
    for number, node in given_out:
        assert inodes.node(number) == node
        inodes.forget([(number, 1)])
    assert len(inodes) == 0
    assert [inodes.remember(node) for node in nodes] == [inodes.remember(node) for node in nodes]
