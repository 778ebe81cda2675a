"""What was measured: rows of a table, each with its aim and whether it is met."""

import dataclasses
import statistics


class Failed(Exception):
    """A scenario that cannot go on; its text says why."""


@dataclasses.dataclass(frozen=True)
class Aim:
    sign: str  # "≤" or "≥"
    bound: float
    unit: str = ""

    def is_met(self, value):
        return value <= self.bound if self.sign == "≤" else value >= self.bound

    def __str__(self):
        return f"{self.sign} {self.bound:g} {self.unit}".rstrip()


def at_most(bound, unit=""):
    return Aim("≤", bound, unit)


def at_least(bound, unit=""):
    return Aim("≥", bound, unit)


@dataclasses.dataclass(frozen=True)
class Results:
    """What one party reached, once for each round."""

    values: list
    unit: str

    @property
    def median(self):
        return statistics.median(self.values)

    def __str__(self):
        spread = f" ({min(self.values):.4g} to {max(self.values):.4g})" if len(self.values) > 1 else ""
        return f"{self.median:.4g} {self.unit}{spread}"


class Report:
    HEAD = "| what | fileservice | the other | ratio | aim | met |\n|---|---|---|---|---|---|"

    def __init__(self):
        self.rows = []

    def ratio(self, what, ours, theirs, aim=None):
        """Ours over theirs."""
        self._row(what, ours, theirs, ours.median / theirs.median, aim, f"{ours.median / theirs.median:.2f}")

    def times_faster(self, what, ours, theirs, aim):
        """Of seconds: theirs over ours."""
        times = theirs.median / ours.median
        self._row(what, ours, theirs, times, aim, f"{times:.2f} times faster")

    def spread(self, what, each, aim):
        """The largest over the smallest of several, which are ours all."""
        medians = [results.median for results in each.values()]
        ours = ", ".join(f"{name}: {results}" for name, results in each.items())
        self._row(what, ours, "itself", max(medians) / min(medians), aim, f"{max(medians) / min(medians):.2f}")

    def difference(self, what, ours, theirs, aim=None):
        """How much more ours is than theirs, round by round."""
        pairs = zip(ours.values, theirs.values, strict=True)
        more = Results([our - their for our, their in pairs], f"{ours.unit} more")
        self._row(what, ours, theirs, more.median, aim, str(more))

    def value(self, what, value, aim=None, theirs=None):
        """One figure of ours beside a bound, and perhaps beside that of another."""
        other = "" if theirs is None else f"{theirs:.1f} MiB"
        self._row(what, f"{value:.1f} MiB", other, value, aim, "")

    def _row(self, what, ours, theirs, value, aim, shown):
        met = "" if aim is None else "yes" if aim.is_met(value) else "no"
        cells = [what, str(ours), str(theirs), shown, "none" if aim is None else str(aim), met]
        self.rows.append("| " + " | ".join(cells) + " |")
        print(f"bench: {'; '.join(cell for cell in cells[:4] if cell)}; aim {cells[4]} {met}".rstrip(), flush=True)

    def table(self):
        return "\n".join([self.HEAD, *self.rows])
