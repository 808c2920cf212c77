"""report.md: the answer, the caveats, and no way for a name to break it."""

import re

from paretobench.report import write_report
from paretobench.report.markdown import report_markdown
from paretobench.report.model import assemble
from paretobench.report.text import markdown
from paretobench.results.reader import open_run


def text_of(folder):
    return report_markdown(assemble(open_run(folder))).decode()


def cells(line):
    return re.split(r"(?<!\\)\|", line)


def test_answer_comes_first_with_both_ends_and_what_to_set(make_run, sweep):
    folder = make_run(sweep())
    answer = text_of(folder).splitlines()[2]
    assert "the frontier runs from" in answer
    assert "(batch 64, wait" in answer
    assert "For `chat` set `max_batch_size:" in answer


def test_hostile_names_and_reasons_leave_every_table_whole(make_run, sweep, point):
    evil = "a | b\n| c |\\| `d` <script> **e** [f](g)"
    goals = {evil: {"maximize": "output_tokens_per_s", "subject_to": {}}}
    points = [*sweep(), point(batch=512, verdict="failed", reason=evil)]
    folder = make_run(points, goals=goals, name=evil)
    text = text_of(folder)
    assert "<script>" not in text
    width = 0
    for line in text.splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        width = width or len(cells(line))
        assert len(cells(line)) == width


def test_markdown_keeps_a_backslash_from_undoing_an_escape():
    assert markdown("\\|") == "&#92;\\|"


def test_every_trial_that_is_not_valid_is_there_with_its_reason(make_run, sweep, point):
    points = [*sweep(), point(batch=512, verdict="out_of_memory", reason="tried 20 GiB")]
    folder = make_run(points)
    text = text_of(folder)
    for p in points:
        if p.verdict != "valid":
            assert p.settings.trial_id in text
            assert p.reason in text


def test_every_failed_sweep_is_reported_and_nothing_raises(make_run, point):
    failed = [point(batch=b, verdict="out_of_memory", reason="tried 20 GiB") for b in (1, 2, 4)]
    folder = make_run(failed)
    report = write_report(folder)
    assert report.frontier == ()
    for name in ("report.md", "operating_points.yaml"):
        content = (folder / name).read_text()
        assert "none of 3 trials is valid: 3 out of memory (tried 20 GiB)" in content
    assert (folder / "frontier.png").is_file()


def test_run_with_no_trial_yet_is_reported(make_run):
    folder = make_run([], state="running", provenance=None, capacity={}, workloads=[])
    text = text_of(folder)
    assert "no trial was measured" in text.lower()
    assert "The run is running" in text
    assert "does not say on what system" in text


def test_what_casts_doubt_is_named(make_run, sweep):
    folder = make_run(sweep(gpu=True), provenance="h200", state="interrupted")
    text = text_of(folder)
    assert "The run is interrupted" in text
    assert "1 other process on GPU 0: 4242 python" in text
    assert "One run alone" in text
    assert "fewer than 10 samples lie beyond the percentile" in text
    assert re.search(r"\| ~\d", text)


def test_requests_that_waited_for_memory_are_said(make_run, point):
    points = [
        point(batch=4, kv_budget_tokens=768, num_kv_waited=0),
        point(batch=64, kv_budget_tokens=768, num_kv_waited=96, num_measured=384),
    ]
    text = text_of(make_run(points))
    assert "In 1 configuration requests had to wait for memory" in text
    assert "batch 64, wait 0 ms, KV 768 tokens, closed loop ×64: 25% of them" in text
    assert "| wait | limits |" in text


def test_dirty_commit_is_named(make_run, sweep):
    folder = make_run(sweep())
    assert "commit 1a2b3c4+dirty" in text_of(folder)
    assert "not committed" in text_of(folder)


def test_spread_of_repeats_stands_beside_their_mean(make_run, sweep):
    folder = make_run(sweep(repeats=3))
    text = text_of(folder)
    assert "One repeat each" not in text
    assert re.search(r"1,7\d\d \(1,\d{3}–1,\d{3}\)", text)


def test_lengths_really_drawn_and_the_pilot_capacity_are_given(make_run, sweep):
    folder = make_run(sweep())
    text = text_of(folder)
    assert "| prompt 64, output 32 | prompt tokens | 64 | 63.1 | 0.42 | 200 | 1% |" in text
    assert "53 requests/s (1,696 tokens/s) at batch 64" in text
    assert "| poisson 50% of capacity | prompt 64, output 32 |" in text


def test_simulation_says_so_everywhere(make_run, sweep):
    system = {"kind": "latency_model", "simulated": True, "model": None}
    folder = make_run(sweep(), provenance={"system": system})
    text = text_of(folder)
    assert "(simulated)" in text
    assert "Simulated: the figures are those of a latency model" in text
    assert "paretobench simulate scenario.yaml --output-dir run-again\n```" in text


def with_engines(make_run, sweep, *engines, **system):
    facts = [{"class": name, "device_share": 0.5, **own} for name, own in engines]
    return text_of(make_run(sweep(), provenance={"system": {"engines": facts, **system}}))


def test_engines_that_took_turns_on_a_gpu_are_a_caveat(make_run, sweep):
    engines = [("chat", {}), ("bulk", {})]
    turns = "took turns on the GPU"
    assert turns in with_engines(make_run, sweep, *engines, mps=False)
    assert turns not in with_engines(make_run, sweep, *engines, mps=True)
    assert turns not in with_engines(make_run, sweep, *engines, mps=None)  # no GPU
    assert turns not in text_of(make_run(sweep()))


def test_threads_that_do_not_divide_as_the_shares_do_are_a_caveat(make_run, sweep):
    even = with_engines(make_run, sweep, ("chat", {"threads": 4}), ("bulk", {"threads": 4}))
    assert "threads do not divide" not in even
    uneven = with_engines(make_run, sweep, ("chat", {"threads": 1}), ("bulk", {"threads": 2}))
    assert "chat 1 of 3 threads for 50%, bulk 2 of 3 threads for 50%" in uneven
