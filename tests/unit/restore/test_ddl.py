"""Table definitions as the target database is to have them."""

from __future__ import annotations

import pytest

from encaja.restore.load.ddl import Collations, plan_table, plan_view

KNOWN = frozenset(
    {"utf8mb4_unicode_ci", "utf8mb4_bin", "utf8mb4_general_ci", "utf8mb3_unicode_ci", "cp1251_general_ci"}
)
MARIADB = Collations(KNOWN | {"utf8mb4_0900_ai_ci"})
MYSQL = Collations(KNOWN | {"utf8mb4_0900_ai_ci"}, mariadb=False)

TABLE = b"""CREATE TABLE `b_x` (
  `ID` int NOT NULL AUTO_INCREMENT,
  `NAME` varchar(50) COLLATE utf8mb4_0900_ai_ci DEFAULT 'utf8mb4_0900_ai_ci',
  `BODY` text COMMENT 'KEY `no key` (`x`)',
  PRIMARY KEY (`ID`),
  UNIQUE KEY `ux` (`NAME`),
  KEY `ix` (`NAME`(10),`ID`),
  KEY `ix2` (`NAME`) USING BTREE,
  FULLTEXT KEY `ft` (`BODY`)
) ENGINE=MyISAM AUTO_INCREMENT=4 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci ROW_FORMAT=COMPACT"""


@pytest.mark.parametrize(
    ("name", "mapped"),
    [
        ("utf8mb4_0900_ai_ci", "utf8mb4_unicode_ci"),
        ("utf8mb4_0900_as_cs", "utf8mb4_bin"),
        ("utf8mb4_0900_bin", "utf8mb4_bin"),
        ("utf8mb4_es_0900_ai_ci", "utf8mb4_unicode_ci"),
        ("utf8mb4_uca1400_ai_ci", "utf8mb4_unicode_ci"),
        ("utf8mb4_general_ci", "utf8mb4_general_ci"),
        ("cp1251_ukrainian_ci", "cp1251_general_ci"),
    ],
)
def test_collations_of_mariadb(name, mapped):
    assert MARIADB.map(name) == mapped


def test_mysql_keeps_its_own():
    assert MYSQL.map("utf8mb4_0900_ai_ci") == "utf8mb4_0900_ai_ci"


def test_table():
    plan = plan_table(TABLE, MARIADB)
    assert (
        plan.create
        == b"""CREATE TABLE `b_x` (
  `ID` int NOT NULL AUTO_INCREMENT,
  `NAME` varchar(50) COLLATE utf8mb4_unicode_ci DEFAULT 'utf8mb4_0900_ai_ci',
  `BODY` text COMMENT 'KEY `no key` (`x`)',
  PRIMARY KEY (`ID`),
  UNIQUE KEY `ux` (`NAME`)
) ENGINE=InnoDB AUTO_INCREMENT=4 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci"""
    )
    assert plan.keys == {"ix": b"KEY `ix` (`NAME`(10),`ID`)", "ix2": b"KEY `ix2` (`NAME`) USING BTREE"}
    assert plan.fulltext == {"ft": b"FULLTEXT KEY `ft` (`BODY`)"}


def test_numbered_column_keeps_its_key():
    plan = plan_table(
        b"CREATE TABLE `a` (\n  `G` int,\n  `N` int AUTO_INCREMENT,\n  KEY `g` (`G`),\n  KEY `n` (`N`)\n) TYPE=InnoDB",
        MARIADB,
    )
    assert b"KEY `n` (`N`)" in plan.create and set(plan.keys) == {"g"}


def test_numbering_within_a_group_gets_a_key_of_its_own():
    plan = plan_table(
        b"CREATE TABLE `a` (\n  `G` int,\n  `N` int AUTO_INCREMENT,\n  PRIMARY KEY (`G`,`N`)\n) ENGINE=MyISAM", MARIADB
    )
    assert b"KEY `encaja_N` (`N`)" in plan.create


def test_keys_of_a_table_with_foreign_keys_stay():
    plan = plan_table(
        b"CREATE TABLE `a` (\n  `G` int,\n  KEY `g` (`G`),\n"
        b"  CONSTRAINT `c` FOREIGN KEY (`G`) REFERENCES `b` (`I`)\n) ENGINE=InnoDB",
        MARIADB,
    )
    assert plan.keys == {} and b"KEY `g` (`G`)" in plan.create


def test_a_table_that_names_no_collation_gets_the_databases():
    ddl = b"CREATE TABLE `a` (\n  `G` int\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT='x'"
    assert plan_table(ddl, MARIADB, "utf8mb4_unicode_ci").create.endswith(
        b"DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='x'"
    )
    assert plan_table(ddl, MARIADB, "utf8mb3_unicode_ci").create == ddl


def test_view_belongs_to_whoever_restores_it():
    ddl = (
        b"CREATE ALGORITHM=UNDEFINED DEFINER=`a b`@`%` SQL SECURITY DEFINER VIEW `v` AS "
        b"select _utf8mb4'x' collate utf8mb4_0900_ai_ci"
    )
    assert plan_view(ddl, MARIADB) == (
        b"CREATE ALGORITHM=UNDEFINED SQL SECURITY DEFINER VIEW `v` AS select _utf8mb4'x' collate utf8mb4_unicode_ci"
    )
