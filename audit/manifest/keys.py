"""What all sections of a manifest have in common: which keys and values they take."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class Section(BaseModel):
    """Keys of a manifest; true and false are no numbers, and nothing else is true or false."""

    @field_validator("*", mode="before")
    @classmethod
    def _true_and_false(cls, value: Any, info: ValidationInfo) -> Any:
        expected = cls.model_fields[info.field_name or ""].annotation
        if bool not in (expected, *get_args(expected)):
            values = value if isinstance(value, (list, tuple)) else [value]
            if any(isinstance(item, bool) for item in values):
                raise ValueError("expected a number or text")
            return value
        if not isinstance(value, bool) and value not in ("true", "false"):
            raise ValueError("expected true or false")
        # A variable of the environment is text.
        return value if isinstance(value, bool) else value == "true"


class ClosedSection(Section):
    """A section whose keys are all known."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class OpenSection(Section):
    """A section whose further keys are the options of the function that it names."""

    model_config = ConfigDict(
        frozen=True, extra="allow", allow_inf_nan=False, use_attribute_docstrings=True
    )

    @property
    def options(self) -> dict[str, object]:
        """The keys beside the declared ones, as written."""
        return dict(self.model_extra or {})
