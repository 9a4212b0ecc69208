"""An audit that shall run again and again: what is said of it once, and who is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from audit.errors import ManifestError
from audit.manifest import load_manifest
from audit.run_folder import file_slug


@dataclass(frozen=True)
class Order:
    """What is audited again and again, and when.

    Parameters
    ----------
    manifest : str
        Path of the manifest.
    cron : str or None
        Five fields, such as ``0 2 * * 1``; None: only when somebody asks.
    timezone : str
        A name of the IANA database, in which `cron` is meant.
    device, overrides, limit
        See :class:`audit.pipeline.session.AuditRequest`.
    gate : str or None
        When a run fails; None: as the manifest says.
    runs : str or None
        The folder below which each run gets one of its own; None: ``runs`` beside the manifest, so
        that it does not hang on where a worker was started.
    """

    manifest: str
    cron: str | None = None
    timezone: str = "UTC"
    device: str = "auto"
    overrides: tuple[str, ...] = ()
    limit: int | None = None
    gate: str | None = None
    runs: str | None = None

    def parameters(self) -> dict[str, object]:
        """What each run is given, by name, with paths that hold everywhere on this machine."""
        manifest = Path(self.manifest).resolve()
        found: dict[str, object] = {
            "manifest": str(manifest),
            "device": self.device,
            "overrides": list(self.overrides),
            "runs": str(Path(self.runs).resolve() if self.runs else manifest.parent / "runs"),
        }
        more = {"limit": self.limit, "gate": self.gate}
        return found | {key: value for key, value in more.items() if value is not None}

    def checked(self) -> str:
        """The audit's name, once manifest, schedule and time zone can be.

        Raises
        ------
        ManifestError
            One cannot be.
        """
        gate = (f"gate={self.gate}",) if self.gate else ()
        declared = load_manifest(self.manifest, (*self.overrides, *gate))
        if self.cron is not None and len(self.cron.split()) != 5:
            raise ManifestError(
                f"--cron: expected five fields such as '0 2 * * 1', found {self.cron!r}"
            )
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise self.no_schedule(error) from error
        return declared.name

    def deployment(self, name: str, pool: str, entrypoint: str) -> bytes:
        """What a ``prefect.yaml`` says of it that ``prefect deploy`` takes as it is.

        Parameters
        ----------
        name : str
            Of the audit.
        pool : str
            The work pool, of type process.
        entrypoint : str
            What runs, as ``package.module.function``.
        """
        told: dict[str, object] = {
            "name": file_slug(name),
            "description": f"Saliency audit of {name}",
            "entrypoint": entrypoint,
            "parameters": self.parameters(),
            "work_pool": {"name": pool},
            "concurrency_limit": 1,
        }
        if self.cron:
            told["schedules"] = [{"cron": self.cron, "timezone": self.timezone}]
        folder = str(Path(self.manifest).resolve().parent)
        content = {
            "name": file_slug(name),
            "pull": [{"prefect.deployments.steps.set_working_directory": {"directory": folder}}],
            "deployments": [told],
        }
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode()

    def no_schedule(self, error: Exception) -> ManifestError:
        """Says that cron line and time zone are no schedule, and why."""
        return ManifestError(
            f"--cron, --timezone: {self.cron!r} in {self.timezone!r} is no schedule ({error})"
        )


@dataclass(frozen=True)
class AlarmOrder:
    """Who is told of an audit, and what is tried again by itself.

    Parameters
    ----------
    manifest : str
        Path of the manifest.
    blocks : sequence of str
        Who is told, as ``type/name``: ``slack-webhook/audits``, ``sendgrid-email/team``,
        ``webhook/tickets``.
    run_again : bool
        Run again what crashed, or was silent for ten minutes.
    """

    manifest: str
    blocks: Sequence[str] = ()
    run_again: bool = True

    def addresses(self) -> list[tuple[str, str]]:
        """Type and name of each.

        Raises
        ------
        ManifestError
            One lacks either.
        """
        pairs = [(kind, name) for kind, _, name in (one.partition("/") for one in self.blocks)]
        for address, pair in zip(self.blocks, pairs, strict=True):
            if not all(pair):
                raise ManifestError(
                    "--notify: expected type/name of a block, such as slack-webhook/audits, found "
                    f"{address!r}"
                )
        return pairs
