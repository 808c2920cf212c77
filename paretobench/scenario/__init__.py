"""The scenario file: what to measure, checked before anything is measured."""

from paretobench.scenario.loader import Overrides, load_scenario, scenario_from_mapping
from paretobench.scenario.schema import Scenario

__all__ = ["Overrides", "Scenario", "load_scenario", "scenario_from_mapping"]
