"""Tasks with their comments, the messenger, and the drive with its photographs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from .store import php
from .words import CHAT, QUARTERS, REMARKS, TASKS

if TYPE_CHECKING:
    from .build import Context

FORUM = 8
LONGEST = 64
JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000")
PHOTO_BYTES = (250_000, 350_000)


def tasks(c: Context) -> dict[str, int]:
    """Tasks, most with a few comments, one with very many."""
    rows, members, topics, posts, checklists, tree, links = [], [], [], [], [], [], []
    post = 1
    for n, created in enumerate(c.times(c.sizes.tasks), 1):
        owner, doer = c.dice.choice(c.staff), c.dice.choice(c.staff)
        changed = c.later(created)
        count = LONGEST if n == c.sizes.tasks else c.dice.choice((0, 0, 1, 2, 2, 3, 5, 8))
        title = f"{c.dice.choice(TASKS)} nº {n}"
        rows.append(
            {
                "ID": n,
                "TITLE": title,
                "DESCRIPTION": c.dice.choice(REMARKS)
                + (f"\n{c.url}/company/personal/user/{doer}/tasks/task/view/{max(1, n - 1)}/" if n % 8 == 0 else ""),
                "PRIORITY": "1",
                "STATUS": "5" if n % 3 else "2",
                "RESPONSIBLE_ID": doer,
                "DEADLINE": changed,
                "CREATED_BY": owner,
                "CREATED_DATE": created,
                "CHANGED_BY": doer,
                "CHANGED_DATE": changed,
                "CLOSED_DATE": changed if n % 3 else None,
                "GUID": f"{{task-{n}}}",
                "FORUM_TOPIC_ID": n if count else None,
                "SITE_ID": "s1",
                "ACTIVITY_DATE": changed,
            }
        )
        members += [{"TASK_ID": n, "USER_ID": owner, "TYPE": "O"}, {"TASK_ID": n, "USER_ID": doer, "TYPE": "R"}]
        if n % 5 == 0:
            first = len(checklists) + 1
            checklists += [
                {
                    "ID": first + k,
                    "TASK_ID": n,
                    "CREATED_BY": owner,
                    "TITLE": f"Paso {k}" if k else "Lista de control",
                    "IS_COMPLETE": "Y" if k == 1 else "N",
                    "SORT_INDEX": k,
                }
                for k in range(4)
            ]
            tree += [{"PARENT_ID": first + k, "CHILD_ID": first + k, "LEVEL": 0} for k in range(4)]
            tree += [{"PARENT_ID": first, "CHILD_ID": first + k, "LEVEL": 1} for k in (1, 2, 3)]
            links.append({"VALUE_ID": n, "UF_CRM_TASK": php([f"L_{c.dice.randrange(1, max(2, c.sizes.leads))}"])})
        if count:
            posts.append(
                {
                    "ID": post,
                    "FORUM_ID": FORUM,
                    "TOPIC_ID": n,
                    "NEW_TOPIC": "Y",
                    "POST_DATE": created,
                    "POST_MESSAGE": f"TASK_{n}",
                    "AUTHOR_ID": owner,
                    "AUTHOR_NAME": c.people[owner],
                    "PARAM1": "TK",
                    "PARAM2": n,
                }
            )
            for k in range(count):
                author = (owner, doer)[k % 2]
                posts.append(
                    {
                        "ID": post + 1 + k,
                        "FORUM_ID": FORUM,
                        "TOPIC_ID": n,
                        "NEW_TOPIC": "N",
                        "POST_DATE": c.later(created, 10),
                        "POST_MESSAGE": c.dice.choice(REMARKS),
                        "AUTHOR_ID": author,
                        "AUTHOR_NAME": c.people[author],
                        "PARAM1": "TK",
                        "PARAM2": n,
                    }
                )
            post += count + 1
            topics.append(
                {
                    "ID": n,
                    "FORUM_ID": FORUM,
                    "TITLE": title,
                    "USER_START_ID": owner,
                    "USER_START_NAME": c.people[owner],
                    "START_DATE": created,
                    # The vendor's dump is no snapshot: a count can be older than the comments that it counts.
                    "POSTS": count - 1 if count > 2 and n % 4 == 0 and n < c.sizes.tasks else count,
                    "LAST_POSTER_ID": doer,
                    "LAST_POSTER_NAME": c.people[doer],
                    "LAST_POST_DATE": changed,
                    "LAST_MESSAGE_ID": post - 1,
                    "XML_ID": f"TASK_{n}",
                }
            )
    for table, listed in (
        ("b_tasks", rows),
        ("b_tasks_member", members),
        ("b_forum_topic", topics),
        ("b_forum_message", posts),
        ("b_tasks_checklist_items", checklists),
        ("b_tasks_checklist_items_tree", tree),
        ("b_uts_tasks_task", links),
    ):
        c.store.insert(table, listed, verb="INSERT IGNORE" if table == "b_tasks_member" else "INSERT")
    return {"tasks": len(rows), "task comments": len(posts) - len(topics)}


def messages(c: Context) -> dict[str, int]:
    """Dialogues and group chats; every twentieth message carries a file; every employee has notifications."""
    chats: list[dict[str, Any]] = []
    relations: list[dict[str, Any]] = []
    storage, root = (
        c.store.value("SELECT ID FROM b_disk_storage WHERE MODULE_ID='im'"),
        c.store.value("SELECT ROOT_OBJECT_ID FROM b_disk_storage WHERE MODULE_ID='im'"),
    )
    next_file, next_object = c.store.next_id("b_file"), c.store.next_id("b_disk_object")
    objects, files = [], []

    def chat(kind: str, title: str | None, people: list[int]) -> int:
        number = len(chats) + 1
        chats.append(
            {
                "ID": number,
                "TITLE": title,
                "TYPE": kind,
                "AUTHOR_ID": people[0],
                "USER_COUNT": len(people),
                "DATE_CREATE": c.now,
                "MESSAGE_COUNT": 0,
                "LAST_MESSAGE_ID": 0,
                "DISK_FOLDER_ID": None,
            }
        )
        relations.extend({"CHAT_ID": number, "MESSAGE_TYPE": kind, "USER_ID": u} for u in people)
        return number

    notice = {u: chat("S", None, [u]) for u in c.staff}
    dialogs = (
        [(chat("P", None, [a, b]), [a, b]) for a, b in zip(c.staff, c.staff[1:] + c.staff[:1], strict=True)]
        if len(c.staff) > 2
        else []
    )
    groups = [
        (chat("C", title, people), people)
        for title, people in (
            ("Ventas", c.staff[:12]),
            ("Obra Puerta del Mar", c.staff[5:20]),
            ("Dirección", c.staff[:5]),
        )
        if people
    ]
    rows, params = [], []
    for n, created in enumerate(c.times(c.sizes.messages), 1):
        number, people = c.dice.choice(dialogs + groups)
        author = c.dice.choice(people)
        attached = n % 20 == 0
        rows.append(
            {
                "ID": n,
                "CHAT_ID": number,
                "AUTHOR_ID": author,
                "MESSAGE": ""
                if attached
                else c.dice.choice(CHAT) + (f" {c.url}/crm/deal/list/" if n % 33 == 0 else ""),
                "DATE_CREATE": created,
                "NOTIFY_TYPE": 0,
                "NOTIFY_MODULE": None,
            }
        )
        here = chats[number - 1]
        here["MESSAGE_COUNT"] += 1
        here["LAST_MESSAGE_ID"] = n
        if attached:
            if here["DISK_FOLDER_ID"] is None:
                here["DISK_FOLDER_ID"] = next_object
                objects.append(
                    {
                        "ID": next_object,
                        "NAME": f"Chat {number}",
                        "TYPE": 2,
                        "STORAGE_ID": storage,
                        "REAL_OBJECT_ID": next_object,
                        "PARENT_ID": root,
                        "CREATE_TIME": created,
                        "CREATED_BY": author,
                        "FILE_ID": None,
                        "SIZE": None,
                    }
                )
                next_object += 1
            name = f"plano-{n}.txt"
            files.append(
                c.store.file(next_file, "im", name, f"Plano {n}\n".encode() * (1 + n % 97), cloud=n % 400 == 0)
            )
            objects.append(
                {
                    "ID": next_object,
                    "NAME": name,
                    "TYPE": 3,
                    "STORAGE_ID": storage,
                    "REAL_OBJECT_ID": next_object,
                    "PARENT_ID": here["DISK_FOLDER_ID"],
                    "CREATE_TIME": created,
                    "CREATED_BY": author,
                    "FILE_ID": next_file,
                    "SIZE": files[-1]["FILE_SIZE"],
                }
            )
            params.append({"MESSAGE_ID": n, "PARAM_NAME": "FILE_ID", "PARAM_VALUE": str(next_object)})
            next_file, next_object = next_file + 1, next_object + 1
    open_tasks = [n for n in range(1, c.sizes.tasks + 1) if n % 3 == 0]
    for k, user in enumerate(c.staff):
        for n in open_tasks[k :: len(c.staff)][:3]:
            rows.append(
                {
                    "ID": len(rows) + 1,
                    "CHAT_ID": notice[user],
                    "AUTHOR_ID": user,
                    "MESSAGE": f"New comment in [URL=/company/personal/user/{user}/tasks/task/view/{n}/]Tarea {n}"
                    "[/URL]",
                    "DATE_CREATE": c.now,
                    "NOTIFY_TYPE": 2,
                    "NOTIFY_MODULE": "tasks",
                }
            )
    for table, listed in (
        ("b_im_chat", chats),
        ("b_im_relation", relations),
        ("b_im_message", rows),
        ("b_im_message_param", params),
        ("b_file", files),
        ("b_disk_object", objects),
    ):
        c.store.insert(table, listed)
    return {"messages": len(rows), "files in messages": len(files)}


def photographs(c: Context) -> dict[str, int]:
    """Photographs of the building sites on the company's drive, a folder a site: bytes that no compression shrinks."""
    if not c.sizes.photos:
        return {"photographs": 0}
    storage = c.store.value("SELECT ID FROM b_disk_storage WHERE MODULE_ID='disk' ORDER BY ID LIMIT 1")
    root = c.store.value("SELECT ROOT_OBJECT_ID FROM b_disk_storage WHERE MODULE_ID='disk' ORDER BY ID LIMIT 1")
    next_file, first_folder = c.store.next_id("b_file"), c.store.next_id("b_disk_object")
    start = c.now - timedelta(days=c.sizes.days)
    files: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []

    def place(kind: int, name: str, parent: int, created: datetime, file: dict[str, Any] | None = None) -> None:
        number = first_folder + len(objects)
        objects.append(
            {
                "ID": number,
                "NAME": name,
                "TYPE": kind,
                "STORAGE_ID": storage,
                "REAL_OBJECT_ID": number,
                "PARENT_ID": parent,
                "CREATE_TIME": created,
                "UPDATE_TIME": created,
                "CREATED_BY": c.dice.choice(c.staff),
                "FILE_ID": file["ID"] if file else None,
                "SIZE": file["FILE_SIZE"] if file else None,
            }
        )

    for quarter in QUARTERS:
        place(2, f"Fotos {quarter}", root, start)
    for n, created in enumerate(c.times(c.sizes.photos)):
        name = f"foto-{n + 1:04d}.jpg"
        content = JPEG + c.dice.randbytes(c.dice.randrange(*PHOTO_BYTES))
        files.append(c.store.file(next_file + n, "disk", name, content))
        place(3, name, first_folder + n % len(QUARTERS), created, files[-1])
    c.store.insert("b_file", files)
    c.store.insert("b_disk_object", objects)
    return {"photographs": len(files)}
