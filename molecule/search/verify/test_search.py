"""The index takes what the portal writes, finds Spanish and Russian words, and loses nothing when it is killed."""

import json
import textwrap

import pytest

SQL = textwrap.dedent(
    """
    import json, sys, pymysql
    with pymysql.connect(host="127.0.0.1", port=9306, user="", autocommit=True, charset="utf8mb4").cursor() as cursor:
        found = []
        for statement in json.loads(sys.argv[1]):
            cursor.execute(statement)
            found.append(cursor.fetchall())
    print(json.dumps(found))
    """
)
COLUMNS = (
    "id, title, body, module_id, module, item_id, item, param1_id, param1, param2_id, param2, date_change, date_to, "
    "date_from, custom_rank, tags, right, site, param"
)
RECORDS = {
    1: ("Camión de la señora Peña", "Entregar los camiones el lunes"),
    2: ("Año nuevo", "Prospecto sin teléfono"),
    3: ("Клиент из Москвы", "Лид для сайта"),
}


FOUND_BY = {
    "camion": [1],
    "CAMIÓN": [1],
    "camiones": [1],
    "señora": [1],
    "pena": [],
    "año": [2],
    "ano": [],
    "telefono": [2],
    "tele*": [2],
    "@title prosp*": [],
    "клиенты": [3],
    "лид": [3],
}


@pytest.fixture(scope="module")
def sql(host):
    """Runs statements in one round trip. The records are there."""

    def run(*statements):
        done = host.run("python3 -c %s %s", SQL, json.dumps(statements))
        assert done.rc == 0, done.stderr
        return json.loads(done.stdout)

    rows = (
        f"({number}, '{title}', '{body}', 1, 'crm', {number}, '{number}', "
        "2, 'LEAD', 3, 'x', 1, 2, 3, 0, (1), (2), (3), (4))"
        for number, (title, body) in RECORDS.items()
    )
    run("TRUNCATE RTINDEX bitrix", *(f"REPLACE INTO bitrix ({COLUMNS}) VALUES {row}" for row in rows))  # noqa: S608
    return run


def test_words_are_found(sql):
    found = sql(*(f"SELECT id FROM bitrix WHERE MATCH('{words}') ORDER BY id ASC" for words in FOUND_BY))  # noqa: S608
    assert dict(zip(FOUND_BY, ([row[0] for row in rows] for rows in found), strict=True)) == FOUND_BY


def test_rights_and_sites_limit_what_is_found(sql):
    found = sql(
        "SELECT id FROM bitrix WHERE MATCH('lead | camion') AND right IN (2, 9) AND site = 3",
        "SELECT id FROM bitrix WHERE MATCH('camion') AND right IN (9)",
        "SELECT item, param1 FROM bitrix WHERE module = 'crm' AND item_id = 2",
    )
    assert found == [[[1]], [], [["2", "LEAD"]]]


def test_nothing_is_lost_when_it_is_killed(host, sql):
    before = host.check_output("systemctl show -P MainPID searchd")
    host.check_output(f"kill -9 {before}")
    waited = host.run(
        "for i in $(seq 150); do "
        "python3 -c \"import socket; socket.create_connection(('127.0.0.1', 9306))\" 2>/dev/null "
        f'&& [ "$(systemctl show -P MainPID searchd)" != {before} ] && exit 0; sleep 0.2; done; exit 1'
    )
    assert waited.rc == 0
    assert sql("SELECT id FROM bitrix ORDER BY id ASC") == [[[1], [2], [3]]]


def test_it_listens_on_this_host_only_as_its_own_user(host):
    assert host.socket("tcp://127.0.0.1:9306").is_listening
    assert not host.socket("tcp://0.0.0.0:9306").is_listening
    assert {process.user for process in host.process.filter(comm="searchd")} == {"sphinxsearch"}
    assert host.service("searchd").is_enabled


def test_queries_are_not_logged(host, sql):
    sql("SELECT id FROM bitrix WHERE MATCH('confidencial')")
    assert host.run("grep -r confidencial /var/log/sphinxsearch").rc == 1
