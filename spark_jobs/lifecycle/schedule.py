"""The date of a run that a schedule started: the day of the scheduled time, whenever an attempt begins.

A run at 23:50 that fails and is tried again at 00:05 is still the night of the day before. What Kubernetes lets a pod
know of its schedule, and what all attempts share, is a name: a CronJob calls its Jobs `<name>-<minutes since 1970>`,
and the Spark operator the applications of a schedule `<name>-<time since 1970>`, in nanoseconds or in what its
`--timestamp-precision` says. (The annotation `batch.kubernetes.io/cronjob-scheduled-timestamp` is the Job's own;
its pods do not have it.)
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

_SUFFIX = re.compile(r"-([0-9]+)")
# By the number of digits, which tells the units apart until the year 2160.
_PER_SECOND = {8: 1 / 60, 10: 1, 13: 1e3, 16: 1e6, 19: 1e9}
# A job that somebody named by hand may end in digits, too: 20261127 as minutes is a day in 2008.
_OLDEST, _NEWEST = timedelta(days=7), timedelta(hours=1)


def scheduled_date(name: str, now: datetime) -> date | None:
    """Return the UTC day of the scheduled time that a job's name ends in; `None` if it ends in none.

    Parameters
    ----------
    name
        Of the Job, or of the operator's application.
    now
        With its time zone. A time that is more than a week before it, or an hour after it, is none of a schedule.
    """
    found = _SUFFIX.fullmatch(name[name.rfind("-") :]) if "-" in name else None
    if found is None or len(found[1]) not in _PER_SECOND:
        return None
    seconds = int(found[1]) / _PER_SECOND[len(found[1])]
    age = now.timestamp() - seconds
    if not -_NEWEST.total_seconds() <= age <= _OLDEST.total_seconds():
        return None
    return datetime.fromtimestamp(seconds, UTC).date()
