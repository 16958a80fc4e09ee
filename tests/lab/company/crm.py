"""Companies, contacts, leads and deals, and what hangs from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .store import ascii_name, php
from .words import CITIES, DEPARTMENTS, FIRMS, FIRST, HOMES, LAST, LEGAL, QUARTERS, REMARKS

if TYPE_CHECKING:
    from datetime import datetime

    from .build import Context

LEAD_STAGES = (("NEW", "P"), ("IN_PROCESS", "P"), ("PROCESSED", "P"), ("CONVERTED", "S"), ("JUNK", "F"))
DEAL_STAGES = (
    ("NEW", "P"),
    ("PREPARATION", "P"),
    ("PREPAYMENT_INVOICE", "P"),
    ("EXECUTING", "P"),
    ("WON", "S"),
    ("LOSE", "F"),
)
SOURCES = ("CALL", "EMAIL", "WEB", "WEBFORM", "CALLBACK", "OTHER")
TYPE_IDS = {"LEAD": 1, "DEAL": 2, "CONTACT": 3, "COMPANY": 4}


def _common(c: Context, number: int, created: datetime) -> dict[str, Any]:
    author = c.dice.choice(c.staff)
    changed = c.later(created)
    return {
        "ID": number,
        "DATE_CREATE": created,
        "DATE_MODIFY": changed,
        "CREATED_BY_ID": author,
        "MODIFY_BY_ID": c.dice.choice(c.staff),
        "ASSIGNED_BY_ID": author,
        "OPENED": "Y",
        "COMMENTS": c.dice.choice(REMARKS) if c.dice.random() < 0.5 else None,
        "LAST_ACTIVITY_BY": author,
        "LAST_ACTIVITY_TIME": changed,
    }


def _multi(c: Context, kind: str, number: int, phone: str, mail: str) -> list[dict[str, Any]]:
    rows = [
        {
            "ENTITY_ID": kind,
            "ELEMENT_ID": number,
            "TYPE_ID": "PHONE",
            "VALUE_TYPE": "MOBILE",
            "COMPLEX_ID": "PHONE_MOBILE",
            "VALUE": phone,
        }
    ]
    if mail:
        rows.append(
            {
                "ENTITY_ID": kind,
                "ELEMENT_ID": number,
                "TYPE_ID": "EMAIL",
                "VALUE_TYPE": "WORK",
                "COMPLEX_ID": "EMAIL_WORK",
                "VALUE": mail,
            }
        )
    if c.dice.random() < 0.1:
        rows.append(
            {
                "ENTITY_ID": kind,
                "ELEMENT_ID": number,
                "TYPE_ID": "PHONE",
                "VALUE_TYPE": "HOME",
                "COMPLEX_ID": "PHONE_HOME",
                "VALUE": f"91{c.dice.randrange(10**7):07d}",
            }
        )
    return rows


def _phone(c: Context) -> str:
    digits = f"6{c.dice.randrange(10**8):08d}"
    return c.dice.choice((f"+34{digits}", f"+34 {digits[:3]} {digits[3:6]} {digits[6:]}", digits))


def _branches(c: Context, kind: str, count: int, more: dict[str, Any] | None = None) -> None:
    c.store.insert(
        f"b_uts_crm_{kind}",
        [{"VALUE_ID": n + 1, "UF_CRM_BRANCH": DEPARTMENTS[n % len(DEPARTMENTS)], **(more or {})} for n in range(count)],
    )


def companies(c: Context) -> dict[str, int]:
    """Companies with phones, mails, requisites and addresses."""
    rows, multi, requisites, addresses = [], [], [], []
    for n, created in enumerate(c.times(c.sizes.companies), 1):
        title = f"{c.dice.choice(FIRMS)} {c.dice.choice(LAST)} {c.dice.choice(LEGAL)}"
        row = _common(c, n, created)
        rows.append(
            row
            | {
                "TITLE": title,
                "COMPANY_TYPE": c.dice.choice(("CUSTOMER", "SUPPLIER", "PARTNER")),
                "INDUSTRY": "CONSTRUCTION",
                "REVENUE": c.dice.randrange(10**6),
                "CURRENCY_ID": "EUR",
                "HAS_PHONE": "Y",
                "HAS_EMAIL": "Y",
            }
        )
        multi += _multi(c, "COMPANY", n, _phone(c), f"info{n}@{ascii_name(title)[:20].strip('-.')}.test")
        if n % 2 == 0:
            requisites.append(
                {
                    "ID": n,
                    "ENTITY_TYPE_ID": 4,
                    "ENTITY_ID": n,
                    "PRESET_ID": 1,
                    "DATE_CREATE": created,
                    "DATE_MODIFY": created,
                    "CREATED_BY_ID": row["CREATED_BY_ID"],
                    "NAME": title,
                    "RQ_COMPANY_NAME": title,
                    "RQ_VAT_ID": f"ESB{10**7 + n}",
                }
            )
            addresses.append(
                {
                    "TYPE_ID": 6,
                    "ENTITY_TYPE_ID": 8,
                    "ENTITY_ID": n,
                    "ANCHOR_TYPE_ID": 4,
                    "ANCHOR_ID": n,
                    "ADDRESS_1": f"Calle Mayor, {n % 200 + 1}",
                    "CITY": c.dice.choice(CITIES),
                    "POSTAL_CODE": f"{28000 + n % 1000}",
                    "COUNTRY": "España",
                }
            )
    c.store.insert("b_crm_company", rows)
    c.store.insert("b_crm_field_multi", multi)
    c.store.insert("b_crm_requisite", requisites)
    c.store.insert("b_crm_addr", addresses)
    _branches(c, "company", c.sizes.companies)
    return {"companies": len(rows)}


def contacts(c: Context) -> dict[str, int]:
    """Contacts, half of them of a company."""
    rows, multi, links = [], [], []
    for n, created in enumerate(c.times(c.sizes.contacts), 1):
        first, last = c.dice.choice(FIRST), c.dice.choice(LAST)
        company = c.dice.randrange(1, c.sizes.companies + 1) if n % 2 and c.sizes.companies else None
        rows.append(
            _common(c, n, created)
            | {
                "NAME": first,
                "LAST_NAME": last,
                "FULL_NAME": f"{first} {last}",
                "COMPANY_ID": company,
                "SOURCE_ID": c.dice.choice(SOURCES),
                "TYPE_ID": "CLIENT",
                "POST": None,
                "HAS_PHONE": "Y",
                "HAS_EMAIL": "Y",
            }
        )
        multi += _multi(c, "CONTACT", n, _phone(c), f"{ascii_name(first)}.{ascii_name(last)}{n}@correo.test")
        if company:
            links.append({"CONTACT_ID": n, "COMPANY_ID": company, "SORT": 10, "IS_PRIMARY": "Y"})
    c.store.insert("b_crm_contact", rows)
    c.store.insert("b_crm_field_multi", multi)
    c.store.insert("b_crm_contact_company", links)
    _branches(c, "contact", c.sizes.contacts)
    return {"contacts": len(rows)}


def leads(c: Context) -> dict[str, int]:
    """Leads in every stage, most of them closed long ago."""
    rows, multi = [], []
    for n, created in enumerate(c.times(c.sizes.leads), 1):
        first, last = c.dice.choice(FIRST), c.dice.choice(LAST)
        stage, semantic = LEAD_STAGES[c.dice.choices(range(5), (10, 15, 10, 40, 25))[0]]
        row = _common(c, n, created)
        rows.append(
            row
            | {
                "TITLE": f"{c.dice.choice(HOMES)} en {c.dice.choice(QUARTERS)}",
                "NAME": first,
                "LAST_NAME": last,
                "FULL_NAME": f"{first} {last}",
                "STATUS_ID": stage,
                "STATUS_SEMANTIC_ID": semantic,
                "OPPORTUNITY": c.dice.randrange(80, 600) * 1000,
                "CURRENCY_ID": "EUR",
                "SOURCE_ID": c.dice.choice(SOURCES),
                "SOURCE_DESCRIPTION": f"{c.url}/landing/{n % 9}/" if n % 7 == 0 else None,
                "DATE_CLOSED": row["DATE_MODIFY"] if semantic != "P" else None,
                "MOVED_BY_ID": row["MODIFY_BY_ID"],
                "MOVED_TIME": row["DATE_MODIFY"],
                "HAS_PHONE": "Y",
                "HAS_EMAIL": "Y" if n % 3 else "N",
            }
        )
        multi += _multi(c, "LEAD", n, _phone(c), f"{ascii_name(first)}.{n}@correo.test" if n % 3 else "")
    c.store.insert("b_crm_lead", rows)
    c.store.insert("b_crm_field_multi", multi)
    _branches(c, "lead", c.sizes.leads, {"UF_CRM_SCORE": 50})
    return {"leads": len(rows), "multi-fields": int(c.store.value("SELECT COUNT(*) FROM b_crm_field_multi"))}


def deals(c: Context) -> dict[str, int]:
    """Deals with contacts, companies and product rows, some in a category of their own."""
    c.store.insert("b_crm_deal_category", [{"ID": 1, "CREATED_DATE": c.now, "NAME": "Segunda mano", "SORT": 20}])
    c.store.insert(
        "b_crm_status",
        [
            {
                "ENTITY_ID": "DEAL_STAGE_1",
                "STATUS_ID": f"C1:{s}",
                "NAME": s.title(),
                "SORT": 10 * i,
                "SEMANTICS": m if m != "P" else None,
                "CATEGORY_ID": 1,
            }
            for i, (s, m) in enumerate(DEAL_STAGES, 1)
        ],
        verb="INSERT IGNORE",
    )
    rows, links, products = [], [], []
    for n, created in enumerate(c.times(c.sizes.deals), 1):
        stage, semantic = DEAL_STAGES[c.dice.choices(range(6), (10, 15, 10, 10, 35, 20))[0]]
        category = 1 if n % 10 == 0 else 0
        contact = c.dice.randrange(1, c.sizes.contacts + 1) if c.sizes.contacts else None
        price = c.dice.randrange(80, 600) * 1000
        row = _common(c, n, created)
        rows.append(
            row
            | {
                "TITLE": f"{c.dice.choice(HOMES)}, {c.dice.choice(QUARTERS)} {n}",
                "CATEGORY_ID": category,
                "STAGE_ID": f"C1:{stage}" if category else stage,
                "STAGE_SEMANTIC_ID": semantic,
                "CLOSED": "N" if semantic == "P" else "Y",
                "TYPE_ID": "SALE",
                "OPPORTUNITY": price,
                "CURRENCY_ID": "EUR",
                "LEAD_ID": c.dice.randrange(1, c.sizes.leads + 1) if n % 3 == 0 and c.sizes.leads else None,
                "CONTACT_ID": contact,
                "COMPANY_ID": c.dice.randrange(1, c.sizes.companies + 1) if n % 4 == 0 and c.sizes.companies else None,
                "BEGINDATE": created,
                "CLOSEDATE": row["DATE_MODIFY"],
                "MOVED_BY_ID": row["MODIFY_BY_ID"],
                "MOVED_TIME": row["DATE_MODIFY"],
                "SOURCE_ID": c.dice.choice(SOURCES),
            }
        )
        if contact:
            links.append({"DEAL_ID": n, "CONTACT_ID": contact, "SORT": 10, "IS_PRIMARY": "Y"})
            if n % 8 == 0:
                links.append(
                    {"DEAL_ID": n, "CONTACT_ID": contact % c.sizes.contacts + 1, "SORT": 20, "IS_PRIMARY": "N"}
                )
        if n % 3 == 0:
            products += [
                {
                    "OWNER_ID": n,
                    "OWNER_TYPE": "D",
                    "PRODUCT_NAME": name,
                    "PRICE": p,
                    "PRICE_ACCOUNT": p,
                    "PRICE_EXCLUSIVE": p,
                    "PRICE_NETTO": p,
                    "PRICE_BRUTTO": p,
                    "QUANTITY": 1,
                    "TAX_RATE": 10,
                    "TAX_INCLUDED": "Y",
                    "CUSTOMIZED": "Y",
                    "MEASURE_CODE": 796,
                    "MEASURE_NAME": "pcs",
                    "SORT": s,
                }
                for name, p, s in (("Vivienda", price - 18000, 10), ("Plaza de garaje", 18000, 20))
            ]
    c.store.insert("b_crm_deal", rows)
    c.store.insert("b_crm_deal_contact", links, verb="INSERT IGNORE")
    c.store.insert("b_crm_product_row", products)
    _branches(c, "deal", c.sizes.deals, {"UF_CRM_FLAT": "2ºB"})
    return {"deals": len(rows), "product rows": len(products)}


def activities(c: Context) -> dict[str, int]:
    """Calls, mails and meetings; some mails have a file."""
    rows, binds, communications, files, objects = [], [], [], [], []
    storage = c.store.value("SELECT ID FROM b_disk_storage WHERE MODULE_ID='disk' ORDER BY ID LIMIT 1")
    root = c.store.value("SELECT ROOT_OBJECT_ID FROM b_disk_storage WHERE MODULE_ID='disk' ORDER BY ID LIMIT 1")
    next_file, next_object = c.store.next_id("b_file"), c.store.next_id("b_disk_object")
    kinds = (("LEAD", c.sizes.leads), ("DEAL", c.sizes.deals), ("CONTACT", c.sizes.contacts))
    for n, created in enumerate(c.times(c.sizes.leads), 1):
        owner, count = kinds[n % 3] if kinds[n % 3][1] else kinds[0]
        target, person = c.dice.randrange(1, count + 1), c.dice.choice(c.staff)
        kind = (2, 2, 2, 4, 1)[n % 5]
        attached = kind == 4 and n % 2 == 0
        if attached:
            files.append(
                c.store.file(
                    next_file,
                    "crm",
                    f"oferta-{n}.pdf",
                    b"%PDF-1.4\n% oferta " + str(n).encode() * 40,
                    cloud=n % 60 == 8,
                )
            )
            objects.append(
                {
                    "ID": next_object,
                    "NAME": f"oferta-{n}.pdf",
                    "TYPE": 3,
                    "STORAGE_ID": storage,
                    "REAL_OBJECT_ID": next_object,
                    "PARENT_ID": root,
                    "CREATE_TIME": created,
                    "UPDATE_TIME": created,
                    "CREATED_BY": person,
                    "FILE_ID": next_file,
                    "SIZE": files[-1]["FILE_SIZE"],
                }
            )
        rows.append(
            {
                "ID": n,
                "TYPE_ID": kind,
                "PROVIDER_ID": {1: "CRM_MEETING", 2: "VOXIMPLANT_CALL", 4: "CRM_EMAIL"}[kind],
                "PROVIDER_TYPE_ID": {1: "MEETING", 2: "CALL", 4: "EMAIL"}[kind],
                "OWNER_ID": target,
                "OWNER_TYPE_ID": TYPE_IDS[owner],
                "SUBJECT": {1: "Visita a la obra", 2: "Incoming call", 4: "Re: presupuesto"}[kind],
                "COMPLETED": "Y" if n % 6 else "N",
                "STATUS": 2 if n % 6 else 1,
                "RESPONSIBLE_ID": person,
                "PRIORITY": 2,
                "DESCRIPTION": c.dice.choice(REMARKS),
                "DESCRIPTION_TYPE": 1,
                "DIRECTION": 1 if n % 3 else 2,
                "CREATED": created,
                "LAST_UPDATED": c.later(created, 2),
                "START_TIME": created,
                "END_TIME": created,
                "DEADLINE": created,
                "STORAGE_TYPE_ID": 3 if attached else None,
                "STORAGE_ELEMENT_IDS": php([next_object]) if attached else None,
                "AUTHOR_ID": person,
                "EDITOR_ID": person,
                "SETTINGS": php({"source": f"{c.url}/crm/activity/?id={n}"}) if n % 10 == 0 else php([]),
            }
        )
        binds.append({"ACTIVITY_ID": n, "OWNER_ID": target, "OWNER_TYPE_ID": TYPE_IDS[owner]})
        if kind == 2:
            communications.append(
                {
                    "ACTIVITY_ID": n,
                    "OWNER_ID": target,
                    "OWNER_TYPE_ID": TYPE_IDS[owner],
                    "TYPE": "PHONE",
                    "VALUE": _phone(c),
                    "ENTITY_ID": target,
                    "ENTITY_TYPE_ID": TYPE_IDS[owner],
                }
            )
        if attached:
            next_file, next_object = next_file + 1, next_object + 1
    for table, listed in (
        ("b_crm_act", rows),
        ("b_crm_act_bind", binds),
        ("b_crm_act_comm", communications),
        ("b_file", files),
        ("b_disk_object", objects),
    ):
        c.store.insert(table, listed)
    return {"activities": len(rows)}


def comments(c: Context) -> dict[str, int]:
    """Comments of the timeline, some with an address of the cloud in them."""
    kinds = [
        (kind, count)
        for kind, count in (
            ("LEAD", c.sizes.leads),
            ("DEAL", c.sizes.deals),
            ("CONTACT", c.sizes.contacts),
            ("COMPANY", c.sizes.companies),
        )
        if count
    ]
    rows, binds = [], []
    for n, created in enumerate(c.times((c.sizes.leads + c.sizes.deals) // 2), 1):
        kind, count = kinds[n % len(kinds)]
        target = c.dice.randrange(1, count + 1)
        text = c.dice.choice(REMARKS) + (f" Ver {c.url}/crm/{kind.lower()}/details/{target}/" if n % 9 == 0 else "")
        rows.append(
            {
                "ID": n,
                "TYPE_ID": 7,
                "TYPE_CATEGORY_ID": 1,
                "CREATED": created,
                "AUTHOR_ID": c.dice.choice(c.staff),
                "COMMENT": text,
                "SETTINGS": php({"HAS_FILES": "N"}),
            }
        )
        binds.append({"OWNER_ID": n, "ENTITY_ID": target, "ENTITY_TYPE_ID": TYPE_IDS[kind]})
    c.store.insert("b_crm_timeline", rows)
    c.store.insert("b_crm_timeline_bind", binds)
    return {"timeline comments": len(rows)}
