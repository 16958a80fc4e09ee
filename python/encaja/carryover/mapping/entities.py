"""The kinds of records that are carried, in the order in which they refer to each other.

Sources: apidocs.bitrix24.com, crm/data-types (identifiers and short names of types), crm/universal/object-fields
(fields of crm.item.*), crm/status (dictionaries).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class ItemKind:
    """A kind of record that ``crm.item.*`` carries.

    Args:
        entity: its name.
        type_id: ``entityTypeId``.
        short: prefix of its identifiers in fields of type ``crm``.
        dictionaries: name in ``crm.status.list`` of the dictionary behind a field.
    """

    entity: str
    type_id: int
    short: str
    dictionaries: Mapping[str, str]


COMPANY: Final = ItemKind(
    "company", 4, "CO", {"typeId": "COMPANY_TYPE", "industry": "INDUSTRY", "employees": "EMPLOYEES"}
)
CONTACT: Final = ItemKind("contact", 3, "C", {"typeId": "CONTACT_TYPE", "sourceId": "SOURCE", "honorific": "HONORIFIC"})
LEAD: Final = ItemKind("lead", 1, "L", {"stageId": "STATUS", "sourceId": "SOURCE", "honorific": "HONORIFIC"})
DEAL: Final = ItemKind("deal", 2, "D", {"stageId": "DEAL_STAGE", "sourceId": "SOURCE", "typeId": "DEAL_TYPE"})
ITEMS: Final = (COMPANY, CONTACT, LEAD, DEAL)
BY_ENTITY: Final = {kind.entity: kind for kind in ITEMS}
BY_TYPE: Final = {kind.type_id: kind for kind in ITEMS}
BY_SHORT: Final = {kind.short: kind for kind in ITEMS}

REFERENCES: Final = {
    "companyId": "company",
    "contactId": "contact",
    "leadId": "lead",
    "companyIds": "company",
    "contactIds": "contact",
}
"""Fields of crm.item.* that name other records."""

_USERS: Final = frozenset({"assignedById", "observers"})
_AT_IMPORT: Final = ("createdTime", "updatedTime", "movedTime", "createdBy", "updatedBy", "movedBy")
"""Fields that only an import can set. Source: crm/universal/import."""
_ORIGIN: Final = ("originatorId", "originId", "originVersion")
# What a portal works out by itself, or what says the same as another field.
_DERIVED: Final = frozenset({
    "accountCurrencyId", "addressLocAddrId", "closed", "dateClosed", "email", "emailHome", "emailMailing",
    "emailWork", "entityTypeId", "exchRate", "faceId", "fullName", "hasEmail", "hasImol", "hasPhone", "icq",
    "id", "imol", "isNew", "isRecurring", "isRepeatedApproach", "isReturnCustomer", "lastActivityBy",
    "lastActivityTime", "lastCommunicationCallTime", "lastCommunicationEmailTime", "lastCommunicationImolTime",
    "lastCommunicationTime", "lastCommunicationWebformTime", "locationId", "login", "logo", "movedBy",
    "movedTime", "opportunityAccount", "phone", "phoneMailing", "phoneMobile", "phoneWork", "photo",
    "previousStageId", "productId", "productRows", "regAddressLocAddrId", "searchContent", "shortName", "skype",
    "stageSemantic", "stageSemanticId", "taxValueAccount", "web",
    *_AT_IMPORT, *_ORIGIN,
})  # fmt: skip
_FLAGS: Final = frozenset({"opened", "export", "isMyCompany", "isManualOpportunity", "isReturnCustomer"})


_KINDS: Final = {
    "boolean": "flag", "char": "text", "crm": "crm", "crm_company": "ref", "crm_contact": "ref", "crm_deal": "ref",
    "crm_lead": "ref", "crm_status": "status", "date": "day", "datetime": "moment", "double": "number",
    "employee": "user", "enumeration": "choice", "file": "file", "integer": "number", "money": "money",
    "string": "text", "text": "text", "url": "text", "address": "text", "user": "user",
}  # fmt: skip


def kind_of(name: str, described: Mapping[str, Any]) -> str | None:
    """How a field of crm.item.* is compared and translated; None for one that is not carried.

    Args:
        name: the field.
        described: what crm.item.fields says about it.
    """
    dynamic = bool(described.get("isDynamic")) or name.startswith("ufCrm")
    if name in _DERIVED or (described.get("isReadOnly") and not dynamic):
        return None
    if name in REFERENCES:
        return "refs" if name.endswith("Ids") else "ref"
    kind = _KINDS.get(str(described.get("type", "string")), "any")
    if name in _USERS or kind == "user":
        return "users" if name == "observers" or described.get("isMultiple") else "user"
    return "flag" if name in _FLAGS and kind != "file" else kind
