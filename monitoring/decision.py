"""What a window means: nothing, a look, a retraining, a call to the data's owner, or that nothing could be judged.

One pure function, one order. A defect of the data comes first, because whatever else the window shows may be its doing.
A window is not called quiet if nothing of it could be judged, or if answers filled it and their labels tell nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from feature_repo.contracts.control import Cause
from monitoring.defects import Defect
from monitoring.drift import DriftVerdict
from monitoring.estimate import Estimate
from monitoring.performance import PerformanceVerdict
from monitoring.spec import Severity


class Decision(StrEnum):
    NONE = "none"
    WATCH = "watch"
    RETRAIN = "retrain"
    DATA_DEFECT = "data_defect"
    INSUFFICIENT = "insufficient"


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """One alert group's signal in this window; `retrain` puts it in the inbox."""

    group: str
    severity: Severity
    cause: Cause
    reason: str
    retrain: bool = False


@dataclass(frozen=True, kw_only=True)
class Judgement:
    decision: Decision
    reason: str
    alarms: tuple[Alarm, ...]


GROUPS = ("data", "performance", "drift", "estimate")


def judge(
    performance: PerformanceVerdict, estimate: Estimate, drift: DriftVerdict, defects: Sequence[Defect]
) -> Judgement:
    """The decision of `monitoring.spec`'s policies and every alarm behind it."""
    if defects:
        reason = "; ".join(str(defect) for defect in defects[:5])
        if len(defects) > 5:
            reason += f"; and {len(defects) - 5} more"
        alarm = Alarm(group="data", severity=Severity.P2, cause=Cause.DATA_DEFECT, reason=reason)
        return Judgement(decision=Decision.DATA_DEFECT, reason=reason, alarms=(alarm,))
    alarms = tuple(alarms_of(performance, estimate, drift))
    asking = [alarm for alarm in alarms if alarm.retrain]
    if asking:
        return Judgement(decision=Decision.RETRAIN, reason="; ".join(alarm.reason for alarm in asking), alarms=alarms)
    if alarms:
        return Judgement(decision=Decision.WATCH, reason="; ".join(alarm.reason for alarm in alarms), alarms=alarms)
    # A good estimate clears nothing, so it does not count as a judgement.
    tells_nothing = performance.was_due or drift.status == performance.status == "insufficient"
    decision = Decision.INSUFFICIENT if tells_nothing else Decision.NONE
    return Judgement(decision=decision, reason=f"{performance.reason}; {drift.reason}", alarms=())


def alarms_of(performance: PerformanceVerdict, estimate: Estimate, drift: DriftVerdict) -> list[Alarm]:
    alarms = []
    if performance.status == "dropped":
        alarms.append(
            Alarm(
                group="performance",
                severity=Severity.P2,
                cause=Cause.PERFORMANCE,
                reason=performance.reason,
                retrain=True,
            )
        )
    if drift.status in ("weighted", "drifted"):
        weighted = drift.status == "weighted"
        severity = Severity.P2 if weighted else Severity.P3
        alarms.append(Alarm(group="drift", severity=severity, cause=Cause.DRIFT, reason=drift.reason, retrain=weighted))
    if estimate.suspicious:
        alarms.append(Alarm(group="estimate", severity=Severity.P3, cause=Cause.PERFORMANCE, reason=estimate.reason))
    return alarms
