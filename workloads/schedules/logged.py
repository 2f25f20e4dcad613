"""The options of schedules whose commit counts depend on data, and the stream of counts they ask for."""

from __future__ import annotations

import random
from fractions import Fraction

import attrs

from workloads.schedules.base import ScheduleBase
from workloads.schedules.commits import Profile, ProfiledStream, RecordedStream, Stream, parse_counts, read_log
from workloads.schedules.options import option, refusal


@attrs.frozen(kw_only=True, slots=False)  # without slots, so that it can be mixed into any other schedule
class Logged(ScheduleBase):
    """Counts from a log, from the command line, or drawn around a mean: published, or given as an option."""

    commits: str = attrs.field(
        default="", metadata=option("file with the commit counts, JSON lines", words=True, last=True)
    )
    counts: str = attrs.field(
        default="", metadata=option('commit counts of all forwards, such as "3 1x4"', words=True, last=True)
    )
    mean: float = attrs.field(
        default=0.0, metadata=option("tokens per forward to draw counts around; 0: the published mean", last=True)
    )
    seed: int = attrs.field(
        default=0, metadata=option("seed of commit counts drawn at random", minimum=0, last=True)
    )

    def _check(self) -> None:
        super()._check()
        given = [name for name in ("commits", "counts", "mean") if getattr(self, name)]
        if len(given) > 1:
            raise refusal(self, f"both {given[0]} and {given[1]} are given", "one of them")
        if self.mean and not 1 <= self.mean < float("inf"):
            raise refusal(self, f"mean is {self.mean:g}", "at least 1 token per forward")
        if self.fixed_by and given:
            raise refusal(self, f"commit counts given with {self.fixed_by}, which fixes them", "no commit counts")
        if not (given or self.fixed_by or self.drawn or self.published):
            found = "commit counts depend on the data, and no mean is published for these options"
            raise refusal(self, found, "commits FILE, counts, or a mean")

    @property
    def published(self) -> Profile | None:
        """The published mean for these options, if there is one."""
        return None

    @property
    def fixed_by(self) -> str:
        """The option that makes counts independent of data, if one does."""
        return ""

    @property
    def drawn(self) -> str:
        """How the algorithm itself draws counts, if it does and none are given."""
        return ""

    @property
    def recorded(self) -> bool:
        """Whether counts come from outside, be it from a log or around a given mean."""
        return bool(self.commits or self.counts or self.mean)

    def stream(self) -> Stream:
        """A fresh stream from the source; raises WorkloadError if the log cannot be read."""
        if self.commits:
            return RecordedStream(self.commits, read_log(self.commits))
        if self.counts:
            where = f"schedule {self.name}: counts"
            return RecordedStream(where, parse_counts(self.counts, where))
        return ProfiledStream(self._profile().mean, random.Random(self.seed))

    def _profile(self) -> Profile:
        if self.mean:
            return Profile(Fraction(str(self.mean)), "given")
        assert self.published is not None
        return self.published

    @property
    def commit_source(self) -> str | None:
        """The source in words, for headers."""
        if self.fixed_by:
            return None
        if self.commits:
            return f"log {self.commits}"
        if self.counts:
            return "counts given"
        if self.drawn and not self.mean:
            return f"{self.drawn}, seed {self.seed}"
        profile = self._profile()
        mean = f"{float(profile.mean):.4g} tokens per forward on average"
        return f"profile: {mean} ({profile.source}), seed {self.seed}"
