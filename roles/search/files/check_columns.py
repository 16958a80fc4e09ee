"""Check that a real-time index has the named columns; prints the missing ones to standard error."""

import json
import sys

import pymysql

asked = json.loads(sys.argv[1])
with pymysql.connect(host=asked["host"], port=int(asked["port"]), user="", autocommit=True).cursor() as cursor:
    cursor.execute(f"DESCRIBE {asked['index']}")
    missing = set(asked["columns"]) - {row[0] for row in cursor.fetchall()}
if missing:
    sys.exit(
        f"index {asked['index']} has no {', '.join(sorted(missing))}: it was created with another configuration; stop "
        "searchd, remove its files from /var/lib/sphinxsearch/data, start it and rebuild the index in the portal"
    )
