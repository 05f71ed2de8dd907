"""The run date of a scheduled run: the day of the scheduled time, not of the attempt.

If a run scheduled at 23:50 fails and is retried at 00:05, its run date is still the first day. A pod learns the
scheduled time only from a name that all attempts share: a CronJob names its Jobs `<name>-<minutes since 1970>`, and the
Spark operator names the applications of a schedule `<name>-<time since 1970>`, in nanoseconds or in the unit of its
`--timestamp-precision`. (The annotation `batch.kubernetes.io/cronjob-scheduled-timestamp` is on the Job, not on its
pods.)
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

_SUFFIX = re.compile(r"-([0-9]+)")
# By number of digits, which distinguishes the units until the year 2160.
_PER_SECOND = {8: 1 / 60, 10: 1, 13: 1e3, 16: 1e6, 19: 1e9}
# A name that was not made by a schedule may end in digits, too: 20261127 as minutes is a day in 2008.
_OLDEST, _NEWEST = timedelta(days=7), timedelta(hours=1)


def scheduled_date(name: str, now: datetime) -> date | None:
    """Return the UTC day of the scheduled time at the end of a job's name; `None` if there is none.

    Parameters
    ----------
    name
        Name of the Job, or of the operator's application.
    now
        The current time, with time zone. A number that is a time more than a week before it, or more than an hour after
        it, is no scheduled time.

    Examples
    --------
    >>> scheduled_date("nightly-29409110", datetime(2025, 12, 1, 0, 5, tzinfo=UTC))  # scheduled at 23:50
    datetime.date(2025, 11, 30)
    """
    found = _SUFFIX.fullmatch(name[name.rfind("-") :]) if "-" in name else None
    if found is None or len(found[1]) not in _PER_SECOND:
        return None
    seconds = int(found[1]) / _PER_SECOND[len(found[1])]
    age = now.timestamp() - seconds
    if not -_NEWEST.total_seconds() <= age <= _OLDEST.total_seconds():
        return None
    return datetime.fromtimestamp(seconds, UTC).date()
