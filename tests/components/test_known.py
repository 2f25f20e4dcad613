"""A repetition seen before: what the iteration before would have touched."""

from __future__ import annotations

from archsim.components.known import Known
from archsim.components.touches import LOAD, PRODUCT, LogEntry


def known(earlier: list[LogEntry], last: list[LogEntry]) -> Known:
    return Known(1, [], [], [], 0, [earlier], [last])


def test_every_access_moves_as_it_did() -> None:
    seen = known([(4, 100, 8, True), (LOAD, 3, 70, False)], [(4, 164, 8, True), (LOAD, 4, 75, False)])
    assert seen.before([[(4, 500, 8, True), (LOAD, 10, 0, False)]]) == [[(4, 436, 8, True), (LOAD, 9, -5, False)]]


def test_other_work_is_not_known() -> None:
    seen = known([(4, 100, 8, True)], [(4, 164, 8, True)])
    assert seen.before([[(4, 500, 8, False)]]) is None
    assert seen.before([[(1, 500, 8, True)]]) is None
    assert seen.before([[]]) is None


def test_a_product_must_have_the_constant_factor_it_had() -> None:
    seen = known([(PRODUCT, 5, 64, False)], [(PRODUCT, 6, 64, False)])
    assert seen.before([[(PRODUCT, 9, 64, False)]]) == [[(PRODUCT, 8, 64, False)]]
    assert seen.before([[(PRODUCT, 9, 32, False)]]) is None
    other = known([(PRODUCT, 64, 5, False)], [(PRODUCT, 64, 6, False)])
    assert other.before([[(PRODUCT, 32, 9, False)]]) is None
