"""What was lost: by configuration and measure, by measure, and overall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from paretobench.gate.estimates import Estimate, of_configuration, over_configurations
from paretobench.gate.holm import holm
from paretobench.gate.log_ratios import LogRatios, log_ratios
from paretobench.gate.values import MEASURES, ConfigurationLoss, Loss, Match, Measure, Thresholds

_Ratios = Mapping[Measure, LogRatios]


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Everything that the rule decides by.

    `overall` and `by_measure` are of the gating configurations. `num_left_out` values were not
    finite, or 0.
    """

    overall: Estimate | None
    by_measure: Mapping[Measure, Estimate]
    configurations: tuple[ConfigurationLoss, ...]
    num_left_out: int

    def shown_in_measures(self, limit: float) -> dict[Measure, float]:
        """Return the Holm-corrected p values of "this measure lost no more than `limit`"."""
        tests = {m: e.p_of_more_than(limit, m) for m, e in self.by_measure.items()}
        corrected = zip(tests, holm(list(tests.values())), strict=True)
        return {measure: p for measure, p in corrected if p is not None}


def find_losses(matches: Sequence[Match], thresholds: Thresholds, *, is_advisory: bool) -> Losses:
    """Return the losses of all matched configurations, and of the gating ones together.

    The overall loss is the mean over the gating configurations of each one's mean over its
    measures that can move.
    """
    ratios = [{measure: log_ratios(match, measure) for measure in MEASURES} for match in matches]
    gating = [(m, r) for m, r in zip(matches, ratios, strict=True) if m.is_gating]
    overall = over_configurations(
        [[of_one[m] for m in MEASURES if can_move(m, match)] for match, of_one in gating]
    )
    return Losses(
        overall=overall,
        by_measure=_by_measure(gating),
        configurations=_of_configurations(matches, ratios, thresholds, is_advisory=is_advisory),
        num_left_out=sum(r.num_left_out for of_one in ratios for r in of_one.values()),
    )


def can_move(measure: Measure, match: Match) -> bool:
    """Return whether a slower system shows in this measure.

    An open load brings its own rate, so below saturation its tokens/s and requests/s cannot move:
    it counts there by its latencies alone, or every loss would look a third smaller.
    """
    if measure != "throughput" or not match.throughput_is_a_rate:
        return True
    return match.before.settings.concurrency is not None


def _by_measure(gating: Sequence[tuple[Match, _Ratios]]) -> dict[Measure, Estimate]:
    """Return each measure's mean over the configurations where it can move, or over all of them
    where it can move in none."""
    found: dict[Measure, Estimate] = {}
    for measure in MEASURES:
        moving = [[of_one[measure]] for match, of_one in gating if can_move(measure, match)]
        estimate = over_configurations(moving or [[of_one[measure]] for _, of_one in gating])
        if estimate is not None:
            found[measure] = estimate
    return found


def _of_configurations(
    matches: Sequence[Match],
    ratios: Sequence[_Ratios],
    thresholds: Thresholds,
    *,
    is_advisory: bool,
) -> tuple[ConfigurationLoss, ...]:
    """Return each configuration's losses; the family of the tests is all of them, all measures."""
    estimates = [{m: of_configuration(of_one[m]) for m in MEASURES} for of_one in ratios]
    margin, alpha = thresholds.single_margin, 1 - thresholds.confidence
    corrected = iter(
        holm(
            [
                None if estimate is None else estimate.p_of_more_than(margin, measure)
                for of_one in estimates
                for measure, estimate in of_one.items()
            ]
        )
    )
    found = []
    for match, of_one in zip(matches, estimates, strict=True):
        p_values = {measure: next(corrected) for measure in of_one}
        losses: dict[Measure, Loss] = {
            measure: estimate.as_loss(measure, thresholds.confidence)
            for measure, estimate in of_one.items()
            if estimate is not None
        }
        shown = any(p is not None and p <= alpha for p in p_values.values())
        found.append(
            ConfigurationLoss(
                match=match,
                losses=losses,
                p_values=p_values,
                is_regression=shown and not is_advisory,
            )
        )
    return tuple(found)
