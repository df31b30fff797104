"""The code's matrices, and the field they live in."""

import itertools

import numpy as np
import pytest
import reedsolo

from modelfloat.erasure import field, generator
from modelfloat.erasure.scheme import Scheme
from modelfloat.errors import UnsupportedError
from modelfloat.tests.support.erasure_engines import oracle_parity


def _multiply_slowly(a: int, b: int) -> int:
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 0x100:
            a ^= 0x11D
        b >>= 1
    return product


def test_products_follow_from_the_polynomial() -> None:
    expected = [[_multiply_slowly(a, b) for b in range(256)] for a in range(256)]
    assert field.PRODUCTS.tolist() == expected


def test_inverse_times_matrix_is_identity_when_rows_must_be_swapped() -> None:
    matrix = np.array([[0, 7, 1], [3, 0, 0], [5, 9, 2]], np.uint8)
    product = field.multiply(field.invert(matrix), matrix)
    assert product.tolist() == np.eye(3, dtype=np.uint8).tolist()


def test_singular_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match="singular"):
        field.invert(np.array([[1, 2], [2, 4]], np.uint8))


def test_the_matrix_of_4_2_is_pinned() -> None:
    assert generator.parity_matrix(Scheme(4, 2)).tolist() == [[31, 15, 7, 3], [30, 14, 6, 2]]


def test_one_parity_shard_is_the_plain_xor() -> None:
    assert generator.parity_matrix(Scheme(8, 1)).tolist() == [[1] * 8]


@pytest.mark.parametrize("text", ["2+1", "4+2", "10+4", "2+16", "32+16"])
def test_parity_rows_are_those_of_reedsolo(text: str) -> None:
    scheme = Scheme.parse(text)
    unit_shards = [bytes(row) for row in np.eye(scheme.k, dtype=np.uint8)]
    rows = [list(row) for row in oracle_parity(scheme, unit_shards)]
    assert generator.parity_matrix(scheme).tolist() == rows


@pytest.mark.parametrize("m", [0, 1, 5, 16])
def test_replicas_have_coefficients_of_one(m: int) -> None:
    assert generator.generator_matrix(Scheme(1, m)).tolist() == [[1]] * (m + 1)


@pytest.mark.parametrize("k", [1, 4, 32])
def test_without_parity_only_the_identity_is_left(k: int) -> None:
    matrix = generator.generator_matrix(Scheme(k, 0))
    assert matrix.tolist() == np.eye(k, dtype=np.uint8).tolist()


def test_every_choice_of_k_shards_is_enough() -> None:
    scheme = Scheme(5, 4)
    matrix = generator.generator_matrix(scheme)
    for used in itertools.combinations(range(scheme.n), scheme.k):
        field.invert(matrix[list(used)])


def test_matrices_are_shared_and_read_only() -> None:
    matrix = generator.generator_matrix(Scheme(4, 2))
    assert generator.generator_matrix(Scheme(4, 2)) is matrix
    with pytest.raises(ValueError, match="read-only"):
        generator.parity_matrix(Scheme(4, 2))[0, 0] = 1


def test_a_reedsolo_that_computes_another_code_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class OtherCode(reedsolo.RSCodec):  # type: ignore[misc]
        def __init__(self, nsym: int, nsize: int) -> None:
            super().__init__(nsym, nsize=nsize, fcr=1)

    monkeypatch.setattr(reedsolo, "RSCodec", OtherCode)
    generator.generator_matrix.cache_clear()
    with pytest.raises(UnsupportedError, match=r"erasure scheme 4\+2: .* install reedsolo"):
        generator.generator_matrix(Scheme(4, 2))
