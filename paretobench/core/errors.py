"""Every error that paretobench raises on purpose.

ParetoBenchError                 exit code of `paretobench`
├── UserInputError               2   something the user gave is wrong
│   ├── ScenarioError                the scenario file
│   ├── CheckpointError              the model folder or id
│   ├── TraceFileError               the request trace
│   └── RunFolderError               the output folder
├── PointNotMetError             1   nothing measured meets an operating point's goal
├── IncompleteError              3   measured, but not all of it
├── EnvironmentUnfitError        4   this machine cannot do what was asked
│   ├── ModelTooLargeError           the device has no room for the model
│   └── NotComparableError           two runs that cannot be held against each other
└── TrialError                       ends one trial, never the sweep
    ├── DeviceOutOfMemoryError       verdict `out_of_memory`
    └── WorkerDiedError              verdict `failed`

A message gives where, what was expected, what was found and what to do. Only `cli/` catches,
prints and exits.
"""

from __future__ import annotations


class ParetoBenchError(Exception):
    """Base of every error raised on purpose; `exit_code` is what the command line exits with."""

    exit_code = 3


class UserInputError(ParetoBenchError):
    """Something the user gave is wrong; nothing was measured."""

    exit_code = 2


class ScenarioError(UserInputError):
    """The scenario file cannot be read, or does not say something that can be measured."""


class CheckpointError(UserInputError):
    """The model's folder or id does not hold a model that can be loaded safely."""


class TraceFileError(UserInputError):
    """The request trace cannot be read."""


class RunFolderError(UserInputError):
    """The output folder cannot be used as it is."""


class PointNotMetError(ParetoBenchError):
    """Nothing that was measured meets the goal of an operating point."""

    exit_code = 1


class IncompleteError(ParetoBenchError):
    """Something was measured, but not everything; what was measured is on disk."""

    exit_code = 3


class EnvironmentUnfitError(ParetoBenchError):
    """This machine lacks what the scenario asks for."""

    exit_code = 4


class ModelTooLargeError(EnvironmentUnfitError):
    """The device has no room for the model's weights, or for nothing beside them."""


class NotComparableError(EnvironmentUnfitError):
    """Two runs differ in something that decides the figures, or have nothing in common."""


class TrialError(ParetoBenchError):
    """One trial could not be measured; the sweep goes on."""


class DeviceOutOfMemoryError(TrialError):
    """The device had no memory left for a batch of this trial."""


class WorkerDiedError(TrialError):
    """The process that runs the model died or stopped answering."""
