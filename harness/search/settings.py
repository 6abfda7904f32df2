# SPDX-License-Identifier: BSD-3-Clause
"""What a scenario says of the search of its cells. Data only."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Search:
    """How the trials of a cell are chosen. Times in seconds, rates per direction."""

    kind: str
    trials: int                             # at each load, and of R+
    trial_s: float
    warmup_s: float
    latency_at_rplus: tuple[float, ...]     # fractions of R+, of sent load per direction
    latency_trials: int                     # at each load
    latency_trial_s: float
    rate_pps: tuple[float, ...] = ()        # of kinds with given rates; empty: the rates of the replayed file
    latency_at_ndr: tuple[float, ...] = ()  # fractions of the relevant lower bound of that goal
    latency_at_pdr: tuple[float, ...] = ()
    latency_at_pps: tuple[float, ...] = ()  # absolute loads, equal for all switches
    latency_no_load: bool = False
    invalid_repeats: int = 2                # how often an invalid trial is made again
    repeat_on: tuple[str, ...] = ()         # flags that make a trial be made again as if it were invalid
    stability_trials: int = 0               # at a tenth of R+, to see whether the machine itself loses frames
    drain_s: float = 0.0                    # silence that ends a trial; 0: as short as the cell allows
    settle_s: float = 0.0                   # wait behind each trial
    telemetry_trials: int = 0               # at each load, under saturating load first
    telemetry_trial_s: float = 1.0
    telemetry_at_rplus: tuple[float, ...] = ()  # further loads, fractions of R+
    options: Any = None                     # of the kind: a frozen dataclass of its file
