"""What makes a restored portal take itself for a cloud portal, and what of the cloud cannot work in the box.

Row ``bitrix24`` in ``b_module`` and the constants ``BX24_*`` switch hundreds of places of the kernel to the cloud's
behaviour; REST credentials, CDN and buckets belong to the cloud's portal; applications and cloud bots have to be made
or installed (and often bought) again. Source: portal.md chapters 3 and 5 (5, 8, 11, 13), behaviour.md 9.
"""

# ruff: noqa: S608  names of tables are constants of this module

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from . import applications, php
from .plan import Plan
from .settings import HIDDEN, HIDDEN_CHANGED
from .site import Portal

CLOUD_CONSTANTS: Final = re.compile(r"define\s*\(\s*['\"](BX24_[A-Z0-9_]+)['\"]")
FOREIGN_CONSTANTS: Final = ("BX_CACHE_TYPE", "BX_CACHE_SID", "BX_MEMCACHE_HOST", "BX_MEMCACHE_PORT")
"""They override the settings' cache section and name a server of the source."""
CLOUD_BOTS: Final = ("support24", "marta", "giphy", "propertiesbot", "network", "properties")
"""Class names (parts) of bots that the vendor's cloud runs; the box has others or none."""


@dataclass(frozen=True)
class CloudPolicy:
    """What to do with what came from the cloud.

    Attributes:
        licence: the box's licence key; empty leaves the file alone.
        applications: ``deactivate`` switches the cloud's applications off until they are installed again; ``keep``.
        bots: ``deactivate`` switches bots off that cannot work in the box; ``keep``.
    """

    licence: str = ""
    applications: str = "deactivate"
    bots: str = "deactivate"


def plan_cloud(portal: Portal, policy: CloudPolicy) -> Plan:
    """Turn the restored cloud portal into a boxed one.

    What is registered or installed after the first time is the box's own, and stays (``applications.cloud_note``).
    """
    plan = Plan()
    _plan_module(portal, plan)
    _plan_constants(portal, plan)
    _plan_services(portal, plan)
    _plan_licence(portal, plan, policy.licence)
    interfaces = applications.inventory(portal)
    bots = inventory_bots(portal)
    if policy.applications == "deactivate":
        for row in interfaces:
            if row["kind"] == "application" and row["active"] and not row["works_in_box"]:
                plan.update("b_rest_app", {"ID": row["id"]}, {"ACTIVE": "Y"}, {"ACTIVE": "N"})
    if policy.bots == "deactivate":
        for row in bots:
            if row["active"] and not row["works_in_box"]:
                plan.update("b_user", {"ID": row["id"]}, {"ACTIVE": "Y"}, {"ACTIVE": "N"})
    files = cloud_files(portal)
    for bucket, count in _local_already(portal).items():
        plan.statement(
            f"b_file[bucket {bucket}]",
            "UPDATE b_file SET HANDLER_ID = NULL WHERE HANDLER_ID = %s",
            (bucket,),
            f"{count} files in the cloud",
            f"{count} files here",
        )
        if portal.has("b_clouds_file_bucket"):
            active = portal.database.value("SELECT ACTIVE FROM b_clouds_file_bucket WHERE ID = %s", bucket)
            plan.update("b_clouds_file_bucket", {"ID": bucket}, {"ACTIVE": active}, {"ACTIVE": "N"})
    plan.report = {"applications": interfaces, "bots": bots, "files": files}
    return plan


def _plan_module(portal: Portal, plan: Plan) -> None:
    if "bitrix24" in portal.modules:
        plan.delete("b_module", {"ID": "bitrix24"}, "installed")
    for column in ("FROM_MODULE_ID", "TO_MODULE_ID"):
        count = portal.database.count(f"SELECT COUNT(*) FROM b_module_to_module WHERE {column} = 'bitrix24'")
        if count:
            plan.delete("b_module_to_module", {column: "bitrix24"}, f"{count} handlers")


def _plan_constants(portal: Portal, plan: Plan) -> None:
    after = portal.dbconn
    for name in dict.fromkeys([*CLOUD_CONSTANTS.findall(after), *FOREIGN_CONSTANTS]):
        after = php.edit_define(after, name)
    portal.set_dbconn(plan, after)
    config = portal.root / "bitrix" / ".config.php"
    if config.exists():
        plan.warnings.append(f"{config} is a file of the cloud's platform: nothing in the box reads it")


def _plan_services(portal: Portal, plan: Plan) -> None:
    if portal.state().get("cloud_rest") is None:
        for module, name in portal.options:
            if module == "rest" and name.endswith(applications.CLIENT):  # former pairs too
                portal.remove_option(plan, module, name)
    for name in ("bitrix24net_id", "bitrix24net_secret"):
        portal.remove_option(plan, "socialservices", name)
    if portal.has("b_bitrixcloud_option"):
        rows = portal.database.rows(
            "SELECT ID, NAME, PARAM_VALUE FROM b_bitrixcloud_option WHERE NAME = 'cdn_config_active'"
        )
        for row in rows:
            plan.update(
                "b_bitrixcloud_option", {"ID": row["ID"]}, {"PARAM_VALUE": row["PARAM_VALUE"]}, {"PARAM_VALUE": "0"}
            )
    restriction = portal.database.rows(
        "SELECT ID, TO_CLASS FROM b_module_to_module WHERE FROM_MODULE_ID = 'main' AND MESSAGE_ID = 'OnPageStart'"
        " AND TO_CLASS LIKE %s", "%HostRestriction%"
    )  # fmt: skip
    host = portal.option("main", "server_name")
    if restriction and host not in portal.option("security", "restriction_hosts_hosts"):
        for row in restriction:
            plan.delete("b_module_to_module", {"ID": row["ID"]}, "restricts the portal to other hosts")


def _plan_licence(portal: Portal, plan: Plan, key: str) -> None:
    if not key:
        return
    path = portal.root / "bitrix" / "license_key.php"
    before = portal.text(path)
    if php.read_variable(before, "LICENSE_KEY") != key:
        show = (f"$LICENSE_KEY = {HIDDEN}\n" if before else "", f"$LICENSE_KEY = {HIDDEN_CHANGED}\n")
        plan.file(path, before, php.edit_variable(before, "LICENSE_KEY", key), show)


def inventory_bots(portal: Portal) -> list[dict[str, Any]]:
    """Chat bots: which exist and which can work in the box."""
    if not portal.has("b_im_bot"):
        return []
    living = {
        row["client"] for row in applications.inventory(portal) if row["kind"] == "application" and row["works_in_box"]
    }
    found = []
    for row in portal.database.rows(
        "SELECT b.BOT_ID, b.MODULE_ID, b.CODE, b.CLASS, b.APP_ID, u.ACTIVE FROM b_im_bot b"
        " LEFT JOIN b_user u ON u.ID = b.BOT_ID ORDER BY b.BOT_ID"
    ):
        name = (row["CLASS"] or row["CODE"] or "").lower()
        of_cloud = any(part in name for part in CLOUD_BOTS)
        orphaned = bool(row["APP_ID"]) and row["APP_ID"] not in living
        missing = bool(row["MODULE_ID"]) and row["MODULE_ID"] not in portal.modules
        found.append(
            {
                "id": row["BOT_ID"],
                "code": row["CODE"],
                "module": row["MODULE_ID"],
                "active": row["ACTIVE"] == "Y",
                "works_in_box": not (of_cloud or orphaned or missing),
                "cure": "runs in the vendor's cloud only"
                if of_cloud
                else "reinstall its application"
                if orphaned
                else "",
            }
        )
    return found


def cloud_files(portal: Portal, samples: int = 5) -> dict[str, Any]:
    """Files that the database has in a bucket of the cloud, by bucket, with some of those that are missing."""
    if not portal.has("b_file", "HANDLER_ID"):
        return {"in_cloud": 0, "buckets": {}, "missing": 0, "missing_samples": []}
    rows = portal.database.rows(
        "SELECT HANDLER_ID, COUNT(*) AS n, SUM(FILE_SIZE) AS size FROM b_file WHERE HANDLER_ID IS NOT NULL"
        " AND HANDLER_ID <> '' GROUP BY HANDLER_ID"
    )
    missing = [row for row in _file_rows(portal) if not row["local"] and not row["HANDLER_ID"]]
    return {
        "in_cloud": sum(row["n"] for row in rows),
        "buckets": {str(row["HANDLER_ID"]): {"files": row["n"], "bytes": int(row["size"] or 0)} for row in rows},
        "missing": len(missing),
        "missing_samples": [f"{row['SUBDIR']}/{row['FILE_NAME']}" for row in missing[:samples]],
    }


def _file_rows(portal: Portal) -> list[dict[str, Any]]:
    """``b_file`` with, for each row, whether its file is in the upload directory; each directory is read once."""
    upload = portal.root / (portal.option("main", "upload_dir", "upload") or "upload")
    seen: dict[str, frozenset[str]] = {}
    rows = portal.database.rows("SELECT ID, SUBDIR, FILE_NAME, HANDLER_ID FROM b_file")
    for row in rows:
        subdirectory = row["SUBDIR"] or ""
        if subdirectory not in seen:
            directory = upload / subdirectory
            names = frozenset(entry.name for entry in directory.iterdir()) if directory.is_dir() else frozenset()
            seen[subdirectory] = names
        row["local"] = row["FILE_NAME"] in seen[subdirectory]
    return rows


def _local_already(portal: Portal) -> Mapping[str, int]:
    """Buckets all of whose files were downloaded into the upload directory, with their number."""
    counts: dict[str, list[int]] = {}
    for row in _file_rows(portal) if portal.has("b_file", "HANDLER_ID") else []:
        if row["HANDLER_ID"]:
            tally = counts.setdefault(str(row["HANDLER_ID"]), [0, 0])
            tally[0] += 1
            tally[1] += row["local"]
    return {bucket: total for bucket, (total, local) in counts.items() if total == local}
