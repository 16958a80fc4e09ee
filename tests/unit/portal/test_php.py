from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from encaja.portal import php

SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"]))
)
KEYS = st.integers(-1000, 1000) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(php.array_key)
TREES = st.recursive(SCALARS, lambda inner: st.dictionaries(KEYS, inner, max_size=4), max_leaves=12)

FILE = r"""<?php
// made by the installer
use Bitrix\Main\Data\CacheEngineRedis;
return array(
    'utf_mode' => array('value' => true, 'readonly' => true,), // c
    "cache" => ['value' => ['type' => ['class_name' => CacheEngineRedis::class], 'sid' => "x\t\x41\u{e9}\$"]],
    'exception_handling' => array('value' => array('handled_errors_types' => E_ALL & ~E_NOTICE & ~E_WARNING,
        'log' => null)),
    'class' => \Foo\Bar::class, 'list' => ['a', 'b', 7 => 'c', 'd'], '12' => -1.5, 'text' => 'it\'s \\ ' . "a\0b",
);
?>
"""


def test_every_kind_of_literal_is_read() -> None:
    read = php.parse_settings(FILE)
    assert read["utf_mode"] == {"value": True, "readonly": True}
    assert read["cache"]["value"] == {
        "type": {"class_name": "Bitrix\\Main\\Data\\CacheEngineRedis"},
        "sid": "x\tA\u00e9$",
    }
    assert read["exception_handling"]["value"] == {"handled_errors_types": 32757, "log": None}
    assert read["class"] == "Foo\\Bar"
    assert read["list"] == {0: "a", 1: "b", 7: "c", 8: "d"}
    assert read[12] == -1.5
    assert read["text"] == "it's \\ a\0b"


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("<?php\nreturn array(\n'a' => function () { return 1; });", 3, "closure"),
        ("<?php\nreturn ['a' => static fn() => 1];", 2, "closure"),
        ("<?php return ['a' => getenv('HOME')];", 1, "call of getenv()"),
        ("<?php return ['a' => new Foo()];", 1, "object"),
        ("<?php return ['a' => Foo::BAR];", 1, "class Foo"),
        ("<?php\n\n$x = 1;\nreturn [];", 3, "instead of 'return'"),
        ("<?php return ['a' => $x];", 1, "variable $x"),
        ('<?php return ["a" => "v $x"];', 1, "variable in it"),
        ("<?php return ['a' => MY_CONSTANT];", 1, "MY_CONSTANT"),
        ("<?php\nreturn ['a' => 1\n", 3, "the file ends"),
        ("<?php return ['a' 1];", 1, "expected ','"),
        ("<?php return 'x';", 1, "does not return an array"),
        ("\ufeff<?php return [];", 1, "text before"),
        ("<?php return [];\necho 1;", 2, "after the returned array"),
        ("", 1, "text before"),
        ("<?php return [...$x];", 1, "another one"),
        ("<?php return ['a' => <<<X\nb\nX];", 1, "heredoc"),
    ],
)
def test_what_is_no_plain_data_is_named_with_its_line(text: str, line: int, what: str) -> None:
    with pytest.raises(php.PhpSyntaxError) as caught:
        php.parse_settings(text, "site/.settings.php")
    assert caught.value.line == line
    assert what in str(caught.value)
    assert str(caught.value).startswith(f"site/.settings.php:{line}: ")


@given(st.dictionaries(KEYS, TREES, max_size=5))
def test_what_is_rendered_is_read_back(value: dict[int | str, object]) -> None:
    assert php.parse_settings(php.render_settings(value)) == value


@given(st.text(alphabet="<?php return array('a'=>[1,\"b$\\]);{}/*#\n", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        php.parse_settings(text)
    except php.PhpSyntaxError as fault:
        assert fault.line >= 1


@pytest.mark.skipif(shutil.which("php") is None, reason="compares with a PHP interpreter")
@settings(max_examples=8, deadline=None)
@given(st.dictionaries(KEYS, TREES, max_size=6))
def test_rendered_text_is_what_php_itself_exports(value: dict[int | str, object]) -> None:
    script = """
        $v = eval('?>' . stream_get_contents(STDIN));
        echo "<?php\\nreturn ", var_export($v, true), ";\\n";
        fwrite(STDERR, serialize($v));
    """
    rendered = php.encode(php.render_settings(value))
    done = subprocess.run(["php", "-r", script], input=rendered, capture_output=True, check=True)
    assert done.stdout == rendered
    assert done.stderr == php.serialize(value)
    assert php.unserialize(done.stderr) == value


def test_bytes_that_are_no_utf8_survive() -> None:
    raw = b"<?php\nreturn array (\n  'a' => '\xe9\xff',\n);\n"
    assert php.encode(php.render_settings(php.parse_settings(php.decode(raw)))) == raw


DBCONN = """<?php
$DBLogin = "******"; // the writer of the backup masks it
  $DBPassword='******';
if(!(defined("CHK_EVENT") && CHK_EVENT===true))
	define("BX_CRONTAB_SUPPORT", true);
define("BX_UTF", true); /* define("DEAD", 1); */
# define("NO_AGENT_CHECK", true);
define('LATE', PHP_VERSION . 'x');
?>
"""


def test_define_is_added_at_the_top_and_removed_without_trace() -> None:
    frozen = php.edit_define(DBCONN, "NO_AGENT_CHECK", True)
    assert frozen.startswith('<?php\ndefine("NO_AGENT_CHECK", true);\n$DBLogin')
    assert php.read_define(frozen, "NO_AGENT_CHECK") is True
    assert php.edit_define(frozen, "NO_AGENT_CHECK", True) == frozen
    assert php.edit_define(frozen, "NO_AGENT_CHECK") == DBCONN


def test_define_is_changed_in_place() -> None:
    edited = php.edit_define(DBCONN, "BX_UTF", False)
    assert 'define("BX_UTF", false); /* define("DEAD", 1); */' in edited
    assert edited.count("BX_UTF") == 1


def test_removed_body_of_an_if_does_not_let_it_swallow_the_next_statement() -> None:
    edited = php.edit_define(DBCONN, "BX_CRONTAB_SUPPORT")
    assert 'CHK_EVENT===true))\n\t;\ndefine("BX_UTF"' in edited


def test_guarded_define_keeps_its_condition_and_gets_one_when_it_has_none() -> None:
    assert php.guard_define(DBCONN, "BX_CRONTAB_SUPPORT", True, "X") == DBCONN
    guarded = php.guard_define(DBCONN, "BX_UTF", True, "!defined('X')")
    assert "if (!defined('X')) define(\"BX_UTF\", true); /*" in guarded
    assert php.guard_define(guarded, "BX_UTF", True, "!defined('X')") == guarded
    assert php.edit_define(guarded, "BX_UTF", True) == guarded
    added = php.guard_define("<?php\n$a = 1;\n", "NEW", True, "X")
    assert added == '<?php\nif (X) define("NEW", true);\n$a = 1;\n'
    assert php.guard_define(added, "NEW", True, "X") == added


def test_comments_are_no_code() -> None:
    assert php.read_define(DBCONN, "DEAD") is None
    assert php.read_define(DBCONN, "NO_AGENT_CHECK") is None
    assert php.read_define(DBCONN, "LATE") == "PHP_VERSION . 'x'"
    assert php.edit_define(DBCONN, "DEAD") == DBCONN


def test_masked_credentials_are_replaced() -> None:
    edited = php.edit_variable(php.edit_variable(DBCONN, "DBLogin", "portal"), "DBPassword", "a'b\\")
    assert "$DBLogin = 'portal'; // the writer" in edited
    assert php.read_variable(edited, "DBPassword") == "a'b\\"
    assert php.read_variable(edited, "DBName") is None
    assert php.edit_variable("<?php\n", "DBName", "x") == "<?php\n$DBName = 'x';\n"


@pytest.mark.parametrize(
    "text", ["<?php", "<?", "<?php declare(strict_types=1);\n", "", "plain", "<?php define('A', [1, (2)]) ?>x"]
)
def test_define_goes_into_any_file(text: str) -> None:
    edited = php.edit_define(text, "A", "new")
    assert php.read_define(edited, "A") == "new"
    assert php.edit_define(edited, "A", "new") == edited
