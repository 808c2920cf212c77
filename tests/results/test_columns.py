"""Records as columns: the same records come back, from memory and from disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paretobench.core.columns import Columns, RequestColumns, StepColumns, Texts
from paretobench.core.values import RequestRecord, StepRecord
from paretobench.results import tables

SERVED = RequestRecord(
    request_id=0,
    class_name="chat",
    arrival_s=0.5,
    prompt_tokens=8,
    output_tokens=3,
    measured=True,
    kv_blocked_s=0.625,
    admitted_s=0.75,
    first_token_s=1.0,
    finished_s=2.0,
    status="finished",
    error=None,
    num_preemptions=1,
    preempted_s=0.25,
    recomputed_tokens=9,
    taken_in_s=0.5,
    token_times_s=(1.0, 1.5, 2.0),
)
REJECTED = replace(
    SERVED,
    request_id=1,
    class_name="batch",
    measured=False,
    kv_blocked_s=None,
    admitted_s=None,
    first_token_s=None,
    finished_s=None,
    status="rejected",
    error="no room",
    taken_in_s=None,
    token_times_s=(),
)
REQUESTS = (SERVED, REJECTED, replace(SERVED, request_id=2, token_times_s=(0.0, 4.0)))
STEP = StepRecord(
    phase="mixed",
    start_s=0.75,
    duration_s=0.25,
    batch_size=3,
    joined=1,
    decode_rows=2,
    prompt_tokens=8,
    new_tokens=3,
    kv_tokens=40,
    padded_tokens=1,
    queue_depth=2,
    close_reason="timeout",
    num_steps=2,
    num_prompts=1,
    decode_kv_tokens=32,
    engine="chat",
)
UNKNOWN = replace(STEP, close_reason=None, num_prompts=None, decode_kv_tokens=None, engine=None)


def test_columns_are_a_sequence_of_the_records_that_they_were_made_of() -> None:
    requests, steps = RequestColumns.of(REQUESTS), StepColumns.of([STEP, UNKNOWN])
    assert (tuple(requests), tuple(steps)) == (REQUESTS, (STEP, UNKNOWN))
    assert (requests[-1], requests[:2]) == (REQUESTS[-1], REQUESTS[:2])
    assert requests == REQUESTS
    assert requests != (*REQUESTS[:2], SERVED)
    assert isinstance(steps[0].num_prompts, int)  # also where others are missing


@pytest.mark.parametrize("chosen", [[0, 1, 2], [2, 0], [1], []])
def test_requests_that_are_chosen_keep_their_own_tokens(chosen: list[int]) -> None:
    times_s = RequestColumns.of(REQUESTS).where(np.array(chosen, dtype=int)).token_times_s
    rows = [tuple(REQUESTS[i].token_times_s) for i in chosen]
    assert times_s.tolist() == rows
    assert times_s.flat().tolist() == [t for row in rows for t in row]
    assert times_s.gaps().tolist() == [float(gap) for row in rows for gap in np.diff(row)]


def test_a_text_that_nobody_has_is_said_nowhere() -> None:
    texts = Texts.of(["b", None, "a", "b"])
    assert texts.says("b").tolist() == [True, False, False, True]
    assert texts.says(None).tolist() == [False, True, False, False]
    assert not texts.says("c").any()
    assert texts[np.array([2, 1])].present() == ["a", None]


@pytest.mark.parametrize(
    "columns", [RequestColumns.of(REQUESTS), StepColumns.of([STEP, UNKNOWN]), StepColumns.of([])]
)
def test_columns_and_records_make_one_kind_of_file(tmp_path: Path, columns: Columns[Any]) -> None:
    tables.write_columns(tmp_path / "columns", columns)
    tables.write_records(tmp_path / "records", tuple(columns), columns.kind)
    for name in ("columns", "records"):
        assert tables.read_records(tmp_path / name, columns.kind) == tuple(columns)
        assert tables.read_columns(tmp_path / name, type(columns)) == columns


def test_a_field_that_came_later_has_its_default(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    tables.write_columns(tmp_path / "steps", StepColumns.of([STEP]))
    table = pq.read_table(tmp_path / "steps").drop_columns(["num_steps", "engine", "num_prompts"])
    pq.write_table(table, tmp_path / "steps")
    read = tables.read_columns(tmp_path / "steps", StepColumns)
    assert read == [replace(STEP, num_steps=1, engine=None, num_prompts=None)]
    with pytest.raises(tables.MissingColumnsError, match="num_steps, num_prompts, engine"):
        tables.read_columns(tmp_path / "steps", StepColumns, complete=True)
