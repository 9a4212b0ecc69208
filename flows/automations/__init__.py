"""Automations of Prefect for an audit: the files beside this one, filled in and registered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from string import Template
from uuid import UUID

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound

from audit.errors import ManifestError
from audit.manifest import load_manifest
from audit.pipeline.orders import AlarmOrder
from audit.run_folder import file_slug
from flows.audit_dataset import audit_dataset

FILES = Path(__file__).parent
_WEBHOOK = "webhook"
"""The type of the blocks that are called; all others notify."""


def register(order: AlarmOrder) -> list[str]:
    """Create the automations on the Prefect server, or bring those of the same name up to date.

    Returns
    -------
    list of str
        Their names.

    Raises
    ------
    ManifestError
        The manifest cannot be, or the server has no such deployment or block.
    """
    name = load_manifest(order.manifest).name
    with get_client(sync_client=True) as client:
        automations = [
            AutomationCore.model_validate(one) for one in _filled(order, file_slug(name), client)
        ]
        for automation in automations:
            registered = client.read_automations_by_name(automation.name)
            if registered:
                client.update_automation(registered[0].id, automation)
            else:
                client.create_automation(automation)
    return [automation.name for automation in automations]


def _filled(
    order: AlarmOrder, audit: str, client: SyncPrefectClient
) -> Iterator[Mapping[str, object]]:
    blocks = [_block(kind, name, client) for kind, name in order.addresses()]
    values = {"audit": audit, "deployment_id": str(_deployment(audit, client))}
    if order.run_again:
        yield from fill("run_again.yaml", values)
    for kind, name, identity in blocks:
        file = "webhook.yaml" if kind == _WEBHOOK else "notify.yaml"
        block = {"block_id": str(identity), "block_name": f"{kind}/{name}"}
        yield from fill(file, {**values, **block})


def fill(file: str, values: Mapping[str, str]) -> list[Mapping[str, object]]:
    """The automations of a file, with the names of one audit.

    Parameters
    ----------
    file : str
        ``notify.yaml``, ``webhook.yaml`` or ``run_again.yaml``.
    values : mapping of str to str
        ``audit`` (its slug), ``deployment_id``, ``block_id``, ``block_name``.
    """
    text = Template((FILES / file).read_text(encoding="utf-8")).substitute(values)
    filled: list[Mapping[str, object]] = yaml.safe_load(text)
    return filled


def _deployment(audit: str, client: SyncPrefectClient) -> UUID:
    name = f"{audit_dataset.name}/{audit}"
    try:
        return client.read_deployment_by_name(name).id
    except ObjectNotFound:
        raise ManifestError(
            f"the Prefect server has no deployment {name!r}. Begin with `saliency-audit serve`, or "
            "`deploy` and `prefect deploy`, and call this again."
        ) from None


def _block(kind: str, name: str, client: SyncPrefectClient) -> tuple[str, str, UUID]:
    try:
        return kind, name, client.read_block_document_by_name(name, kind).id
    except ObjectNotFound:
        raise ManifestError(
            f"--notify: the Prefect server has no block '{kind}/{name}'. Make it on the server's "
            "page Blocks; `prefect block ls` lists those that are there."
        ) from None
