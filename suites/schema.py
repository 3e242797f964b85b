"""What a suite may say; unknown keys are errors.

Offers `Row`, `Column`, `Suite` and their parts; profiles and recipes are in
`lima_bench.suites.profile_schema`. Matrices are already unfolded (`lima_bench.suites.unfold`) and
names are looked up elsewhere (`lima_bench.suites.names`), so that one pass reports every fault.
Light: no torch, no disk.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

Identifier = Annotated[str, Field(pattern=r"^[^\s.*?\[\]/]+$")]
"""Names a row or column: printable, without what globs, paths and ``--set`` need."""

Labels = Annotated[str, Field(pattern=r"^\d+(\.\d+)?%(@[^@\s]+)?$")]
"""A named label share: ``"1%"`` by the data set's own convention, or ``"1%@slidr-scene"``."""


def _as_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


DatasetIds = Annotated[tuple[str, ...], BeforeValidator(_as_list), Field(min_length=1)]
"""One data-set id, or a list of several that are taught on at once."""

Names = Annotated[tuple[str, ...], BeforeValidator(_as_list), Field(min_length=1)]
"""One id, or any of several."""

Variant = Literal["one_teacher", "published"]
"""``published``: the rows that the paper prints. ``one_teacher``: one row per method."""


def _no_yaml_float(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("a seed is a whole number")
    return value


Seeds = Annotated[
    tuple[Annotated[int, BeforeValidator(_no_yaml_float), Field(ge=0)], ...], Field(min_length=1)
]


class Part(BaseModel):
    """Base of every block: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Paper(Part):
    """The publication that the suite regenerates: a folder and a file of ``results/paper``."""

    key: str
    table: str


class Defaults(Part):
    """What rows have unless they say otherwise; what is absent here comes from the profile."""

    pretrain_on: DatasetIds | None = None
    teacher: str | None = None
    student: str | None = None
    detector: str | None = None
    recipes: str | None = None
    seeds: Seeds | None = None


class Row(Part):
    """How a backbone was taught.

    Attributes:
        id: Unique in the suite.
        method: A method id; ``random`` teaches nothing. With `adopted`: what taught those weights,
            as far as recipes and published numbers ask; it is not run.
        adopted: Name of an adopted checkpoint of the store (``lima-bench adopt``), in place of a
            pretraining.
        title: As printed; default: the method's own title.
        teacher: A teacher id; default: the suite's, then the profile's.
        student: A backbone id in place of the recipe set's.
        detector: What finds boxes on top of it, where a column asks for detection.
        frames: How many frames the method sees, the current one included; default: its own.
        pretrain_on: A data-set id, or several: one student is taught on all of them.
        recipes: A recipe set of the profile.
        settings: Settings of the method that differ from its defaults.
        variant: Only in profiles that ask for this variant; None: in all.
    """

    id: Identifier
    adopted: Identifier | None = None
    method: Annotated[str, Field(validate_default=True)] = ""
    title: str | None = None
    teacher: str | None = None
    student: str | None = None
    detector: str | None = None
    frames: Annotated[int, Field(ge=1)] | None = None
    pretrain_on: DatasetIds | None = None
    recipes: str | None = None
    settings: dict[str, Any] = {}
    variant: Variant | None = None

    @field_validator("method")
    @classmethod
    def _taught_or_adopted(cls, method: str, info: ValidationInfo) -> str:
        if not method and info.data.get("adopted") is None:
            raise PydanticCustomError("missing", "a row is taught by a method, or adopted")
        return method

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.adopted is not None and (self.student or self.settings or self.pretrain_on):
            raise ValueError(
                "an adopted checkpoint brings its student and was taught elsewhere: "
                "student, settings and pretrain_on do not go with it"
            )
        return self


class Column(Part):
    """What is asked of a row: a task on a data set, or a measured cost.

    Attributes:
        id: Unique in the suite.
        title: As printed; default: the id.
        task: A task id.
        on: A data-set id, or ``id:variant`` for another reading of its card.
        labels: The label share that is learnt from.
        corrupted: A data set of corrupted copies of the validation frames, scored beside them.
        metric: The score to show; default: ``miou``, of detection ``map``.
        measure: What pretraining the row took, such as ``pretrain.wall_hours``
            (`lima_bench.suites.measures`), or a number that it returned, such as
            ``pretrain.scores.steps``.
        unit: Of a measure as printed; ``auto``: the one in which its numbers are well read.
        decimals: Of a measure as printed; default: as many as its numbers need. Of a score: the
            table's.
        better: Which way is good.
        variant: As of `Row`.
    """

    id: Identifier
    title: str | None = None
    task: str | None = None
    on: str | None = None
    labels: Labels = "100%"
    corrupted: str | None = None
    metric: Annotated[str, Field(validate_default=True)] = ""
    measure: str | None = None
    unit: Literal["auto", "h", "min", "s", "ms", "GB", "MB"] = "auto"
    decimals: Annotated[int, Field(ge=0, le=6)] | None = None
    better: Literal["higher", "lower"] = "higher"
    variant: Variant | None = None

    @field_validator("metric")
    @classmethod
    def _of_the_task(cls, metric: str, info: ValidationInfo) -> str:
        return metric or ("map" if info.data.get("task") == "detect" else "miou")

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if self.measure is None and (self.task is None or self.on is None):
            raise ValueError("a column needs a task and a data set (on), or a measure")
        if self.measure is not None and (self.task or self.on):
            raise ValueError("a column asks for a task or for a measure, not for both")
        return self


class TableStyle(Part):
    """How the table is laid out."""

    group_rows: Literal["teacher", "method", "detector", "none"] = "none"
    group_columns: Literal["on", "task", "labels", "none"] = "none"
    decimals: Annotated[int, Field(ge=0, le=6)] = 2
    bold: Literal["best", "best-in-group", "none"] = "best-in-group"


class CheckRules(Part):
    """When ours counts as theirs: within max(tolerance, spread x standard deviation)."""

    tolerance: Annotated[float, Field(ge=0)] = 0.5
    spread: Annotated[float, Field(ge=0)] = 2.0


class Suite(Part):
    """Rows times columns."""

    schema_: Annotated[Literal[1], Field(alias="schema")]
    name: Identifier
    title: str
    paper: Paper | None = None
    defaults: Defaults = Defaults()
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]
    columns: Annotated[tuple[Column, ...], Field(min_length=1)]
    table: TableStyle = TableStyle()
    check: CheckRules = CheckRules()
