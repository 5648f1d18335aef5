"""Report the end of a run, however it ends; no error in here can fail the run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from adept_hub.errors import AdeptError, DiskFullError
from adept_training.pretraining.asked import Asked
from adept_training.pretraining.run import Run
from adept_training.pretraining.watch.log import read_log
from adept_training.pretraining.watch.outcome import REPORT, advice_of, verdict_of, write_outcome
from adept_training.pretraining.watch.report import try_to_report, write_report
from adept_training.pretraining.watch.verdict import Verdict


@contextmanager
def told(run: Run, asked: Asked) -> Iterator[None]:
    """Close the log and write the report, also for a run that ends by an error."""
    try:
        run.watch()
        yield
    except AdeptError as error:
        with suppress(DiskFullError):  # which may be the error itself
            run.journal.record("end", step=run.progress.step, interrupted=False, error=str(error))
        raise
    finally:
        run.journal.close()
        if run.fabric.is_global_zero:
            try_to_report(run.folder, lambda: _report(run, asked))


def judge_run(run: Run, seconds: float) -> tuple[Verdict | None, list[str]]:
    """Return the verdict on a run of so many seconds and advice, from its log; None if that was removed or damaged."""
    try:
        log = read_log(run.folder)
    except AdeptError as error:
        run.journal.say(f"no verdict: {' '.join(str(error).split())}", "caution")
        return None, []
    verdict = verdict_of(log)
    return verdict, advice_of(log, verdict, seconds)


def _report(run: Run, asked: Asked) -> None:
    """Write run.json and, if requested, the page."""
    log = read_log(run.folder)
    verdict = verdict_of(log) if log.state == "done" else None
    advice = [] if verdict is None else advice_of(log, verdict, log.seconds)
    write_outcome(log, verdict, advice, seconds=run.seconds(), identity=run.identity)
    if asked.report:
        write_report([run.folder], run.folder / REPORT)
