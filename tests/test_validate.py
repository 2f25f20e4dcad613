"""Validators: the last value accepted, the first refused, and the whole message."""

from __future__ import annotations

import attrs
import pytest

from archsim.validate import BadValue, at_least, nearest, one_of, positive, power_of_two


@attrs.frozen(kw_only=True)
class Sample:
    count: int = attrs.field(default=1, validator=positive)
    banks: int = attrs.field(default=1, validator=power_of_two)
    depth: int = attrs.field(default=2, validator=at_least(2))
    mode: str = attrs.field(default="run", validator=one_of("run", "page"))


@pytest.mark.parametrize("good", [{"count": 1}, {"banks": 1}, {"banks": 4096}, {"depth": 2}, {"mode": "page"}])
def test_accepted(good):
    assert attrs.asdict(Sample(**good)).items() >= good.items()


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        ({"count": 0}, "count: 0; expected a whole number above 0"),
        ({"count": True}, "count: True; expected a whole number above 0"),
        ({"count": 1.5}, "count: 1.5; expected a whole number above 0"),
        ({"banks": 0}, "banks: 0; expected a power of two (1, 2, 4, ...)"),
        ({"banks": -4}, "banks: -4; expected a power of two (1, 2, 4, ...)"),
        ({"banks": 12}, "banks: 12; expected a power of two (1, 2, 4, ...)"),
        ({"depth": 1}, "depth: 1; expected a whole number, at least 2"),
        ({"mode": "pages"}, "mode: 'pages'; expected one of 'run', 'page' (did you mean 'page'?)"),
        ({"mode": "xyz"}, "mode: 'xyz'; expected one of 'run', 'page'"),
        ({"mode": 3}, "mode: 3; expected one of 'run', 'page'"),
    ],
)
def test_refused(bad, text):
    with pytest.raises(BadValue) as caught:
        Sample(**bad)
    assert str(caught.value) == text
    assert isinstance(caught.value, ValueError)


def test_bad_value_keeps_its_parts():
    error = BadValue("rows", 0, "more")
    assert (error.name, error.found, error.expected) == ("rows", 0, "more")


def test_nearest():
    assert nearest("chanels", ["mode", "channels"]) == "did you mean 'channels'?"
    assert nearest("qqq", ["mode", "channels"]) == "one of channels, mode"
    assert nearest("qqq", []) == "there is none"
